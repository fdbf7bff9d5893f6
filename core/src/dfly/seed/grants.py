"""The right of one node to read one task's published bytes for a while, as a path segment.

libtorrent's web-seed client sends no token and takes no query, so the path itself has to carry the permission.
"""

import base64
import binascii
import hmac

import attrs

from dfly.errors import AccessDenied
from dfly.seed.keys import Keys

_SEAL = 16


@attrs.frozen(kw_only=True)
class Grant:
    """`node` may read the blobs of `task` until `expires` (Unix seconds)."""

    task: str
    node: str
    expires: int

    def sealed(self, keys: Keys) -> str:
        """The path segment: base64url, without padding."""
        body = self._body()
        return base64.urlsafe_b64encode(body + keys.seal("grant", body)).rstrip(b"=").decode()

    @classmethod
    def opened(cls, text: str, keys: Keys, *, now: float) -> "Grant":
        """Read a path segment back. Raises AccessDenied where it is forged or too old."""
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            body, seal = data[:-_SEAL], data[-_SEAL:]
            if not hmac.compare_digest(seal, keys.seal("grant", body)):
                raise _refused("it is not from here")
            expires, task, node = body.decode().split("\0")
        except (ValueError, binascii.Error) as error:
            raise _refused("it is garbled") from error
        grant = cls(task=task, node=node, expires=int(expires))
        if now >= grant.expires:
            raise _refused("it has expired")
        return grant

    def _body(self) -> bytes:
        return f"{self.expires}\0{self.task}\0{self.node}".encode()


def _refused(why: str) -> AccessDenied:
    return AccessDenied(f"this web-seed grant opens nothing: {why}", hint="the event stream's hello brings a new one")
