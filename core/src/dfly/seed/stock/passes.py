"""The right of whoever has a .torrent file to one file of one snapshot, for some days, as a path segment.

An operator hands it out, within the .torrent. It opens the tracker for that one torrent, and the file itself as a web seed; no
task, no event stream, no other blob. Stock clients send no token and may drop a query, so it has to be in the path.
"""

import attrs

from dfly.errors import AccessDenied
from dfly.seed.keys import Keys
from dfly.seed.sealed import Spoilt, opened, sealed

_PURPOSE = "pass"


@attrs.frozen(kw_only=True)
class Pass:
    """Whoever shows it may have `blob` of the task that is shown as `task`, under `name`, until `expires` (Unix seconds).

    `torrent` is the info hash of the torrent with that content and name, in hex.
    """

    task: str
    blob: str
    name: str
    torrent: str
    expires: int

    def sealed(self, keys: Keys) -> str:
        """The path segment."""
        return sealed(keys, _PURPOSE, self.task, self.blob, self.torrent, self.name, expires=self.expires)

    @classmethod
    def opened(cls, text: str, keys: Keys, *, now: float) -> "Pass":
        """Read a path segment back. Raises AccessDenied where it is forged or too old."""
        try:
            (task, blob, torrent, name), expires = opened(text, keys, _PURPOSE, count=4, now=now)
        except Spoilt as spoilt:
            raise AccessDenied(
                f"this torrent opens nothing any more: {spoilt}", hint="dfctl torrent writes a new one"
            ) from spoilt
        return cls(task=task, blob=blob, name=name, torrent=torrent, expires=expires)
