"""A server of shelves on loopback, for the tests: dfly's own test server, given an index."""

import hashlib
import json
import math
from collections.abc import Mapping

from dfly.testing import faults
from dfly.testing.origin import FaultyOrigin


class Shelves(FaultyOrigin):
    """Serves shelves to whoever brings `token`."""

    token = "reader-7f3a"

    def publish(self, name: str, revision: str, files: Mapping[str, bytes]) -> None:
        """Make `files` what `name` holds from now on; older revisions stay readable."""
        listed = {path: {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()} for path, body in files.items()}
        index = json.dumps({"revision": revision, "public": False, "files": listed}).encode()
        self._keep(f"{name}.json", index)
        self._keep(f"{name}@{revision}.json", index)
        for path, body in files.items():
            self._keep(f"{name}@{revision}/{path}", body)

    def _keep(self, path: str, body: bytes) -> None:
        self.add(path, body)
        self.fault(path, faults.status(401), times=math.inf, when=self._is_stranger)

    def _is_stranger(self, seen: faults.Seen) -> bool:
        return seen.headers.get("authorization") != f"Bearer {self.token}"
