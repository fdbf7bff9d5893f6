"""Where the daemon's socket is, and whether whoever made it may be told secrets.

A path is only as good as who could have put something there: a stranger's socket at the expected place would be handed hub
tokens.
"""

import os
import stat
from collections.abc import Mapping

SYSTEM = "/run/dfly/dfly.sock"


def candidates(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Where to look, the first that is there counts: DFLY_SOCKET alone where it is set, else this user's, else the system's."""
    if given := env.get("DFLY_SOCKET"):
        return (given,)
    own = env.get("XDG_RUNTIME_DIR")
    return (*((os.path.join(own, "dfly.sock"),) if own else ()), SYSTEM)


def default_path(env: Mapping[str, str] = os.environ, *, uid: int | None = None) -> str:
    """Where a daemon of this user listens."""
    if given := env.get("DFLY_SOCKET"):
        return given
    uid = os.geteuid() if uid is None else uid
    own = env.get("XDG_RUNTIME_DIR")
    if uid and own:
        return os.path.join(own, "dfly.sock")
    return SYSTEM if not uid else f"/run/user/{uid}/dfly.sock"


def find(env: Mapping[str, str] = os.environ) -> str | None:
    """The socket of a daemon that may be trusted with this user's secrets; None where there is none."""
    return next((path for path in candidates(env) if trusted(path)), None)


def trusted(path: str) -> bool:
    """Whether there is a socket at `path` made by root, by this user, or by somebody to whom root gave that folder."""
    try:
        made = os.stat(path, follow_symlinks=False)
        folder = os.path.dirname(os.path.abspath(path))
        inside, above = os.stat(folder), os.stat(os.path.dirname(folder))
    except OSError:
        return False
    if not stat.S_ISSOCK(made.st_mode):
        return False
    if made.st_uid in (0, os.geteuid()):
        return True
    return _owned_only_by(inside, made.st_uid) and _owned_only_by(above, 0) and folder.startswith("/run/")


def _owned_only_by(info: os.stat_result, uid: int) -> bool:
    return info.st_uid == uid and not info.st_mode & 0o022
