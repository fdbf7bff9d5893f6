"""The right of whoever has a .torrent file to one file of one snapshot, for some days, as a path segment.

An operator hands it out, within the .torrent. It opens the tracker for that one torrent, and the file itself as a web seed; no
task, no event stream, no other blob. Stock clients send no token and may drop a query, so it has to be in the path.
"""

import base64
import binascii
import hmac

import attrs

from dfly.errors import AccessDenied
from dfly.seed.keys import Keys

_SEAL, _PURPOSE = 16, "pass"


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
        """The path segment: base64url, without padding."""
        body = self._body()
        return base64.urlsafe_b64encode(body + keys.seal(_PURPOSE, body)).rstrip(b"=").decode()

    @classmethod
    def opened(cls, text: str, keys: Keys, *, now: float) -> "Pass":
        """Read a path segment back. Raises AccessDenied where it is forged or too old."""
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            body, seal = data[:-_SEAL], data[-_SEAL:]
            if not hmac.compare_digest(seal, keys.seal(_PURPOSE, body)):
                raise _refused("it is not from here")
            expires, task, blob, torrent, name = body.decode().split("\0")
        except (ValueError, binascii.Error) as error:
            raise _refused("it is garbled") from error
        found = cls(task=task, blob=blob, name=name, torrent=torrent, expires=int(expires))
        if now >= found.expires:
            raise _refused("it has expired")
        return found

    def _body(self) -> bytes:
        return "\0".join((str(self.expires), self.task, self.blob, self.torrent, self.name)).encode()


def _refused(why: str) -> AccessDenied:
    return AccessDenied(f"this torrent opens nothing any more: {why}", hint="dfctl torrent writes a new one")
