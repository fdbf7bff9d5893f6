"""What a seed peer lets others carry as a path segment: a few texts under its seal, until a time. Nobody else can make one."""

import base64
import binascii
import hmac

from dfly.seed.keys import Keys

_SEAL = 16


class Spoilt(Exception):
    """A segment that opens nothing; the words say why."""


def sealed(keys: Keys, purpose: str, *texts: str, expires: int) -> str:
    """The segment: base64url, without padding. No text may hold a NUL; `expires` is Unix time, in seconds."""
    body = "\0".join((str(expires), *texts)).encode()
    return base64.urlsafe_b64encode(body + keys.seal(purpose, body)).rstrip(b"=").decode()


def opened(segment: str, keys: Keys, purpose: str, *, count: int, now: float) -> tuple[list[str], int]:
    """The `count` texts of a segment, and when it ends. Raises Spoilt where it is forged, of another purpose, or too old."""
    try:
        data = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
        body, seal = data[:-_SEAL], data[-_SEAL:]
        if not hmac.compare_digest(seal, keys.seal(purpose, body)):
            raise Spoilt("it is not from here")
        until, *texts = body.decode().split("\0")
        expires = int(until)
    except (ValueError, binascii.Error) as error:
        raise Spoilt("it is garbled") from error
    if len(texts) != count:
        raise Spoilt("it is garbled")
    if now >= expires:
        raise Spoilt("it has expired")
    return texts, expires
