"""Which blobs to give up so that others fit. Arithmetic only."""

from collections.abc import Iterable

import attrs


@attrs.frozen(kw_only=True)
class Kept:
    """One blob's claim on the disk: `bytes` allocated, `used` when it was last of use (Unix time)."""

    blob: str
    bytes: int
    used: float
    pinned: bool = False
    in_use: bool = False


def choose(kept: Iterable[Kept], *, excess: int) -> list[str]:
    """Whom to give up so that `excess` bytes are freed: the longest unused first, nothing pinned or in use.

    All that may go where that is not enough.

    >>> choose([Kept(blob="b", bytes=5, used=2), Kept(blob="a", bytes=5, used=1)], excess=3)
    ['a']
    """
    chosen: list[str] = []
    for each in sorted(kept, key=lambda each: (each.used, each.blob)):
        if excess <= 0:
            break
        if not each.pinned and not each.in_use:
            chosen.append(each.blob)
            excess -= each.bytes
    return chosen
