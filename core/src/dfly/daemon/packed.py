"""Small files and the pack that they travel in, as an errand sees them: what comes along with one, and what is here already.

A pack stays in the cache for the ring, beside its files; either may be given up before the other.
"""

import os
from collections.abc import Container

from dfly.daemon.cache import Cache
from dfly.packs import Freight
from dfly.store.hashing import new_hash, pick
from dfly.values import Entry


def brought_along(freight: Freight, blobs: Container[str], *, cache: Cache) -> dict[str, int]:
    """What comes by the swarm with the contents `blobs`, in bytes: the pack that some are in, and what else is in that."""
    pack = freight.pack
    if pack is None or not any(blob in blobs for blob in pack.blobs):
        return {}
    files = zip(pack.blobs, pack.entries, strict=True)
    others = {blob: entry.size or 0 for blob, entry in files if blob not in blobs and blob not in cache}
    return {pack.blob: pack.size, **others}


def cut_out(freight: Freight, blobs: Container[str], *, cache: Cache) -> set[str]:
    """Put those of the contents `blobs` in the cache whose pack is there; gives their ids. A pack that is wrong is put aside.

    Raises OutputError.
    """
    pack, found = freight.pack, set[str]()
    if pack is None or pack.blob not in cache or not any(blob in blobs for blob in pack.blobs):
        return found
    with cache.in_use([pack.blob]):
        if cache.usable(pack.blob) is None:
            return found
        fd = cache.lend(pack.blob)
        try:
            for blob, (entry, start, stop) in zip(pack.blobs, pack.ranges(), strict=True):
                if blob not in blobs:
                    continue
                data = os.pread(fd, stop - start, start)
                if not _right(data, entry):
                    cache.put_aside(pack.blob)
                    break
                cache.put(blob, data, sources=[entry.url])
                found.add(blob)
        finally:
            os.close(fd)
    return found


def _right(data: bytes, entry: Entry) -> bool:
    """Whether these are the bytes of an entry; where no hub has told its digest, those of the pack are all that there is."""
    expected = pick(entry.digests)
    if expected is None:
        return len(data) == entry.size
    running = new_hash(expected.algorithm, len(data))
    running.update(data)
    return running.hexdigest() == expected.value
