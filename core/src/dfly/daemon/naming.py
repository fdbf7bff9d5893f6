"""The name under which a node stands by: the machine's, and a tail that tells its daemons apart.

It is kept beside the cache, as it must outlive a restart: a node that comes back is sent on for what it was at.
"""

import os
import re
import secrets
import socket

from dfly.errors import OutputError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def node_name(directory: str) -> str:
    """The name kept in `directory`, made the first time. Raises OutputError."""
    path = os.path.join(directory, "name")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "r+", encoding="ascii", errors="replace") as file:
            kept = file.read(100).strip()
            if _NAME.fullmatch(kept):
                return kept
            made = f"{_host()}-{secrets.token_hex(4)}"
            file.seek(0)
            file.truncate()
            file.write(f"{made}\n")
    except OSError as error:
        raise OutputError.from_os(error, path) from error
    return made


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname().partition(".")[0])[:48].strip("-.") or "node"
