"""Reads single fields: every one has a type and a range, and whatever has another raises WireError with the field's name."""

import base64
import ipaddress
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from dfly.errors import DflyError
from dfly.paths import problem
from dfly.values import Digest

#: A body, unless its message says otherwise.
LONGEST_BODY = 8 << 20
_LARGEST = 1 << 60
_LONGEST_HASHES = 20 * 16
#: Task ids and grants become part of a URL's path.
_WORD = re.compile(r"[A-Za-z0-9_-]{1,512}")
_DIGEST = re.compile(r"[a-z0-9][a-z0-9-]{0,31}:[0-9a-f]{8,128}")
_MISSING = object()

Address = tuple[str, int]


class WireError(DflyError):
    """A message that does not follow the protocol."""

    def __init__(self, what: str) -> None:
        super().__init__(f"bad message: {what}", hint="are the seed peer and this node of neighbouring versions?")


def dumps(value: Any) -> bytes:
    """The JSON form, without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


def parsed(body: bytes, *, cap: int = LONGEST_BODY) -> dict[str, Any]:
    """The JSON object in `body`. Raises WireError for anything else, and beyond `cap` bytes."""
    if len(body) > cap:
        raise WireError(f"{len(body)} bytes, more than {cap}")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError("not JSON") from error
    found: dict[str, Any] = is_a(value, dict)
    return found


def is_a(value: Any, kind: Any) -> Any:
    """`value`, if it is of that kind, and a number in range. Raises WireError."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise WireError(f"{str(value)[:60]!r} is not {getattr(kind, '__name__', 'of the right type')}")
    if kind is int and not -_LARGEST < value < _LARGEST:
        raise WireError("a number is out of range")
    return value


def get(d: Mapping[str, Any], key: str, kind: Any, default: Any = _MISSING) -> Any:
    """A field of that kind; `default` where it is missing. Raises WireError."""
    value = d.get(key, default)
    if value is _MISSING:
        raise WireError(f"{key!r} is missing")
    return value if value is default else is_a(value, kind)


def count(d: Mapping[str, Any], key: str, default: Any = _MISSING) -> int:
    """A field that is a number, not negative. Raises WireError."""
    return size_of(get(d, key, int, default))


def size_of(value: Any) -> int:
    """`value`, if it is a number, not negative. Raises WireError."""
    size: int = is_a(value, int)
    if size < 0:
        raise WireError("a size or count is negative")
    return size


def seconds(d: Mapping[str, Any], key: str, default: Any = _MISSING) -> float:
    """A field that is a time or a span of time. Raises WireError."""
    value = get(d, key, (int, float), default)
    # a Python int may be too large for a float, and JSON's own floats may be infinite or no number at all
    if isinstance(value, bool) or not 0 <= value < _LARGEST or math.isnan(value):
        raise WireError(f"{key!r} is out of range")
    return float(value)


def word(d: Mapping[str, Any], key: str) -> str:
    """A field that may become part of a URL's path. Raises WireError."""
    value: str = get(d, key, str)
    if not _WORD.fullmatch(value):
        raise WireError(f"{key!r} is not one word of a URL's path")
    return value


def file_name(d: Mapping[str, Any], key: str) -> str:
    """A field that is the name of a file, in whatever folder. Raises WireError."""
    name: str = get(d, key, str)
    if "/" in name or problem(name):
        raise WireError(f"{key!r} is no file's name")
    return name


def digest_of(algorithm: Any, value: Any) -> Digest:
    """Raises WireError for what cannot name a blob."""
    digest = Digest(is_a(algorithm, str), is_a(value, str))
    # a digest names a blob, and a blob's id names a torrent
    if not _DIGEST.fullmatch(str(digest)):
        raise WireError(f"{str(digest)[:60]!r} is not a digest")
    return digest


def hashes_of(d: Mapping[str, Any]) -> bytes:
    """The SHA-1 hashes of a segment's pieces. Raises WireError."""
    hashes = bytes_of(d, "hashes")
    if len(hashes) % 20 or not 0 < len(hashes) <= _LONGEST_HASHES:
        raise WireError("'hashes' are not those of a segment's pieces")
    return hashes


def ip(text: str) -> str:
    """`text`, if it is an IP address. Raises WireError."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError as error:
        raise WireError(f"{text[:60]!r} is not an IP address") from error
    return text


def strings(d: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A field that is a list of strings, empty where it is missing. Raises WireError."""
    return tuple(is_a(item, str) for item in get(d, key, list, []))


def bytes_of(d: Mapping[str, Any], key: str) -> bytes:
    """A field that is bytes in base64. Raises WireError."""
    try:
        return base64.b64decode(get(d, key, str), validate=True)
    except ValueError as error:
        raise WireError(f"{key!r} is not base64") from error


def pairs(d: Mapping[str, Any], key: str) -> list[tuple[Any, Any]]:
    """A field that is a list of pairs, empty where it is missing. Raises WireError."""
    rows = get(d, key, list, [])
    if any(not isinstance(row, list) or len(row) != 2 for row in rows):
        raise WireError(f"{key!r} is not a list of pairs")
    return [(a, b) for a, b in rows]


def addresses(d: Mapping[str, Any], key: str) -> tuple[Address, ...]:
    """A field that is a list of (IP address, port), empty where it is missing. Raises WireError."""
    found = tuple((ip(is_a(host, str)), is_a(port, int)) for host, port in pairs(d, key))
    if any(not 0 < port < 65536 for _, port in found):
        raise WireError(f"{key!r} has a port out of range")
    return found


def plain(value: Any) -> Any:
    """The JSON form of a field: bytes are base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
