"""Bencode, as .torrent files and trackers speak it (BEP 3). Writing only: nothing of ours reads it."""

from collections.abc import Mapping, Sequence
from typing import Union

import attrs

Value = Union["Encoded", bytes, str, int, Sequence["Value"], Mapping[str, "Value"]]


@attrs.frozen
class Encoded:
    """A value that is bencoded already, byte for byte: an info dictionary, whose hash must not change."""

    data: bytes


def bencode(value: Value) -> bytes:
    """`value` as bytes; the keys of a dictionary in the order that the format demands.

    >>> bencode({"peers": b"", "interval": 60})
    b'd8:intervali60e5:peers0:e'
    """
    if isinstance(value, Encoded):
        return value.data
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, Mapping):
        rows = sorted((key.encode(), bencode(inner)) for key, inner in value.items())
        return b"d" + b"".join(bencode(key) + inner for key, inner in rows) + b"e"
    return b"l" + b"".join(map(bencode, value)) + b"e"
