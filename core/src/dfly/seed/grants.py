"""The right of one node to read one task's published bytes for a while, as a path segment.

libtorrent's web-seed client sends no token and takes no query, so the path itself has to carry the permission.
"""

import attrs

from dfly.errors import AccessDenied
from dfly.seed.keys import Keys
from dfly.seed.sealed import Spoilt, opened, sealed

_PURPOSE = "grant"


@attrs.frozen(kw_only=True)
class Grant:
    """`node` may read the blobs of `task` until `expires` (Unix seconds)."""

    task: str
    node: str
    expires: int

    def sealed(self, keys: Keys) -> str:
        """The path segment."""
        return sealed(keys, _PURPOSE, self.task, self.node, expires=self.expires)

    @classmethod
    def opened(cls, text: str, keys: Keys, *, now: float) -> "Grant":
        """Read a path segment back. Raises AccessDenied where it is forged or too old."""
        try:
            (task, node), expires = opened(text, keys, _PURPOSE, count=2, now=now)
        except Spoilt as spoilt:
            raise AccessDenied(
                f"this web-seed grant opens nothing: {spoilt}", hint="the event stream's hello brings a new one"
            ) from spoilt
        return cls(task=task, node=node, expires=expires)
