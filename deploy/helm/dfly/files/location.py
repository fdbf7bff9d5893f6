"""Where this pod's node stands, from the node's labels, as a setting of dfdaemon: `location.py FILE LABEL…`

A pod is not told the labels of its node, so the API server is asked, once, before the daemon starts. Labels are given the
largest first; one that the node lacks is left out, and where none is there the daemon has no location, which is no error.
"""

import contextlib
import http.client
import json
import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Where Kubernetes puts what a pod needs to be known to it.
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def labels_of(node: str, *, host: str, port: int, account: Path) -> dict[str, str]:
    """The labels of `node`, asked as the service account whose files are in `account`. Raises OSError, RuntimeError."""
    trusted = ssl.create_default_context(cafile=str(account / "ca.crt"))
    token = (account / "token").read_text(encoding="ascii").strip()
    # goes past every proxy: the API server is inside of the cluster
    with contextlib.closing(http.client.HTTPSConnection(host, port, timeout=30, context=trusted)) as server:
        server.request("GET", f"/api/v1/nodes/{node}", headers={"Authorization": f"Bearer {token}"})
        answer = server.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"the API server answered {answer.status} for node {node}: may this account get nodes?")
        found: dict[str, str] = json.load(answer)["metadata"].get("labels", {})
        return found


def settings(labels: Mapping[str, str], wanted: Sequence[str]) -> str:
    """The lines of dfdaemon's file."""
    location = "/".join(labels[name] for name in wanted if labels.get(name))
    return f"location = {json.dumps(location)}\n" if location else "# the node has none of the labels\n"


def main() -> None:
    """Ask, and write the file."""
    file, *wanted = sys.argv[1:]
    labels = labels_of(
        os.environ["NODE_NAME"],
        host=os.environ["KUBERNETES_SERVICE_HOST"],
        port=int(os.environ["KUBERNETES_SERVICE_PORT"]),
        account=Path(os.environ.get("DFLY_SERVICE_ACCOUNT", ACCOUNT)),
    )
    text = settings(labels, wanted)
    Path(file).write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
