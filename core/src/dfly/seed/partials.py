"""What the mirror asks of a partial, a blob's or a pack's: what it had before, whether it is right, whether it is lost."""

import threading

from dfly.errors import Cancelled, IntegrityError
from dfly.layout import MIB
from dfly.seed.publication import Publication
from dfly.store.hashing import pick
from dfly.store.partial import Partial
from dfly.values import Entry

_HASH_STEP = 64 * MIB


def publish_had(partial: Partial, publication: Publication) -> None:
    """Publish the segments that are left from an earlier run."""
    missing = set(partial.missing_segments())
    for index in range(partial.layout.segments):
        if index not in missing and partial.size is not None:
            publication.segment(index, partial.segment_hashes(index) or b"", size=partial.size)


def cannot_go_on(partial: Partial | None) -> bool:
    """Whether what is in this partial is lost when it closes: a blob of one segment, or of unknown size, has no journal."""
    return partial is not None and (partial.size is None or partial.layout.segments < 2)


def hash_all(partial: Partial, stopped: threading.Event) -> None:
    """Carry the digests to the end, in steps. Raises Cancelled once `stopped`."""
    while not partial.hash_on(_HASH_STEP):
        if stopped.is_set():
            raise Cancelled


def wrong_digest(partial: Partial, entry: Entry, stopped: threading.Event) -> IntegrityError | None:
    """How a partial with all its bytes differs from `entry`, where the hub tells a digest. Raises Cancelled once `stopped`."""
    hash_all(partial, stopped)
    expected = pick(entry.digests)
    actual = partial.digest(expected.algorithm) if expected else ""
    if expected is None or actual == expected.value:
        return None
    # a segment may have been repaired behind the running digest
    partial.hash_again()
    hash_all(partial, stopped)
    actual = partial.digest(expected.algorithm)
    if actual == expected.value:
        return None
    return IntegrityError(entry.path, algorithm=expected.algorithm, expected=expected.value, actual=actual)
