"""One blob on its way to the files that want it: where its bytes gather, how they are verified, how they become outputs.

An arrival does not know who brings the bytes. A source asks it for the spans that are missing, writes them, and calls
`settle`; it answers with whether the blob is in place or must be brought once more because the bytes were wrong.

Blobs of at most one piece gather in memory: thousands of small files need no journal each.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from typing import Protocol

import attrs

from dfly.errors import IntegrityError, OriginUnavailable
from dfly.events import BytesArrived, FileFinished, FileStarted, FileVerified, Listener, Retrying, SegmentFinished
from dfly.layout import MIB, SMALLEST_PIECE, Layout
from dfly.output.place import clean, partial_directory, place
from dfly.output.plan import Target
from dfly.output.receipt import matches
from dfly.store.hashing import hash_file, new_hash, pick
from dfly.store.partial import Partial
from dfly.values import Digest, Entry

#: A span is at least this long, so that a request's round trip is paid by its bytes, and at most LONGEST, so that
#: the hash in order does not fall far behind.
SHORTEST_SPAN, LONGEST_SPAN = 4 * MIB, 64 * MIB


def already_there(target: Target) -> bool:
    """Whether the output is in place and right, by its receipt or by hashing it."""
    return matches(target.path, target.entry, hash_file=hash_file)


class _Gathering(Protocol):
    """Where bytes gather before they are verified."""

    def open(self) -> int: ...
    def spans(self, *, whole: bool) -> Iterator[tuple[int, int | None]]: ...
    def writer(self, start: int, stop: int | None) -> "_Writer": ...
    def digest(self, algorithm: str) -> str: ...
    def size(self) -> int: ...
    def commit(self, final: str) -> None: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


class _Writer(Protocol):
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


@attrs.define(kw_only=True, eq=False)
class Arrival:
    """The blob of `entry`, wanted at `targets`. Methods are called by one thread at a time but for `writer`'s writes."""

    entry: Entry
    targets: list[Target]
    root: str
    emit: Listener
    key: str
    _gathering: _Gathering | None = None
    _attempt: int = 1

    @classmethod
    def of(cls, targets: Iterable[Target], *, root: str, emit: Listener) -> list["Arrival"]:
        """One arrival for each distinct blob, small ones first: they are the files a loader opens first."""
        by_blob: dict[str, Arrival] = {}
        for target in targets:
            key = target.entry.blob or f"alone-{hashlib.sha256(target.path.encode()).hexdigest()}"
            if key in by_blob:
                by_blob[key].targets.append(target)
            else:
                by_blob[key] = cls(entry=target.entry, targets=[target], root=root, emit=emit, key=key)
        return sorted(by_blob.values(), key=lambda a: (not a.small, a.entry.path))

    @property
    def small(self) -> bool:
        """Whether the blob is known to fit in one smallest piece."""
        return self.entry.size is not None and self.entry.size <= SMALLEST_PIECE

    @property
    def directory(self) -> str:
        """The hidden directory for the partial, on the output's file system."""
        return partial_directory(self.targets[0].path, self.key)

    def bytes_missing(self) -> int:
        """Bytes of disk still to be allocated, an estimate for the check before the first byte."""
        size = self.entry.size or 0
        try:
            held = os.stat(os.path.join(self.directory, "data")).st_blocks * 512
        except OSError:
            held = 0
        return max(0, size - held) + size * (len(self.targets) - 1)

    def spans(self, *, whole: bool = False) -> Iterator[tuple[int, int | None]]:
        """The byte ranges still missing, in order. `whole` asks for one span from 0, for origins without ranges."""
        if self._gathering is None:
            self._gathering = self._open()
        yield from self._gathering.spans(whole=whole)

    def _open(self) -> _Gathering:
        gathering: _Gathering = _InMemory(self) if self.small else _OnDisk(self)
        had = gathering.open()
        self.emit(FileStarted(path=self.entry.path, bytes=self.entry.size, had=had))
        return gathering

    def writer(self, start: int, stop: int | None, *, source: str) -> _Writer:
        """A sequential writer for one span; `source` says where its bytes come from (one of events.SOURCES)."""
        assert self._gathering is not None
        return _Counted(self._gathering.writer(start, stop), self, source)

    def settle(self) -> bool:
        """Verify the complete blob and put it in place. False: the bytes were wrong, once; bring them again.

        Raises IntegrityError the second time, OutputError where the disk refuses.
        """
        assert self._gathering is not None
        expected = pick(self.entry.digests)
        if not self._has_right_size():
            return False
        if expected is not None:
            actual = self._gathering.digest(expected.algorithm)
            if actual != expected.value:
                self._refuse(expected, actual)
                return False
        self.emit(FileVerified(path=self.entry.path, digest=str(expected) if expected else None))
        self._place()
        return True

    def _has_right_size(self) -> bool:
        assert self._gathering is not None
        actual, expected = self._gathering.size(), self.entry.size
        if expected is None or actual == expected:
            return True
        self._refuse(Digest("size", f"{expected}"), f"{actual}")
        return False

    def _refuse(self, expected: Digest, actual: str) -> None:
        assert self._gathering is not None
        self._gathering.reset()
        if self._attempt > 1:
            raise IntegrityError(
                self.entry.path, algorithm=expected.algorithm, expected=expected.value, actual=actual
            )
        self._attempt += 1
        cause = f"{expected.algorithm} is {actual}, expected {expected.value}; fetching it once more"
        self.emit(Retrying(path=self.entry.path, cause=cause, after=0))

    def _place(self) -> None:
        assert self._gathering is not None
        size = self._gathering.size()
        first, *others = self.targets
        place(self._gathering.commit, first.path, entry=self.entry)
        self._finished(first, size)
        for target in others:
            place(lambda final: _copy(first.path, final, self.directory), target.path, entry=target.entry)
            self._finished(target, size)

    def _finished(self, target: Target, size: int) -> None:
        self.emit(FileFinished(path=target.entry.path, output=target.path, bytes=size))

    def close(self) -> None:
        """Keep what has arrived for the next run."""
        if self._gathering is not None:
            self._gathering.close()
        clean(self.root)


class _Counted:
    """Reports bytes as they are written, in steps that a listener can follow."""

    STEP = MIB

    def __init__(self, writer: _Writer, arrival: Arrival, source: str) -> None:
        self._writer = writer
        self._arrival = arrival
        self._source = source
        self._unsaid = 0

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._unsaid += len(data)
        if self._unsaid >= self.STEP:
            self._say()

    def close(self) -> None:
        self._say()
        self._writer.close()

    def _say(self) -> None:
        if self._unsaid:
            path = self._arrival.entry.path
            self._arrival.emit(BytesArrived(path=path, bytes=self._unsaid, source=self._source))
            self._unsaid = 0


class _OnDisk:
    """Gathers in a `Partial`: resumable, hashed in order while it arrives."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._partial: Partial | None = None

    @property
    def partial(self) -> Partial:
        assert self._partial is not None
        return self._partial

    def open(self) -> int:
        entry = self._arrival.entry
        digest = pick(entry.digests)
        self._partial = Partial.open(
            self._arrival.directory,
            blob=self._arrival.key,
            size=entry.size,
            validator=entry.validator,
            algorithms=(digest.algorithm,) if digest else (),
            on_segment=self._segment_done,
        )
        return self._partial.had

    def _segment_done(self, index: int, _hashes: bytes) -> None:
        self._arrival.emit(SegmentFinished(path=self._arrival.entry.path, index=index))

    def spans(self, *, whole: bool) -> Iterator[tuple[int, int | None]]:
        size = self._arrival.entry.size
        if size is None or whole:
            self.partial.reset()
            yield 0, size
            return
        layout = Layout(size)
        length = min(max(size // 64, SHORTEST_SPAN), LONGEST_SPAN)
        pieces = max(1, length // layout.piece_length)
        yield from layout.spans(self.partial.missing_segments(), pieces=pieces)

    def writer(self, start: int, stop: int | None) -> _Writer:
        return self.partial.writer(start, stop)

    def digest(self, algorithm: str) -> str:
        return self.partial.digest(algorithm)

    def size(self) -> int:
        return os.stat(self.partial.path).st_size

    def commit(self, final: str) -> None:
        self.partial.commit(final)

    def reset(self) -> None:
        self.partial.reset()

    def close(self) -> None:
        if self._partial is not None:
            self._partial.close()


class _InMemory:
    """Gathers a small blob in memory and writes it in one go."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._data = bytearray()

    def open(self) -> int:
        return 0

    def spans(self, *, whole: bool) -> Iterator[tuple[int, int | None]]:  # noqa: ARG002 - always one span
        self._data.clear()
        yield 0, self._arrival.entry.size

    def writer(self, start: int, stop: int | None) -> "_InMemory":  # noqa: ARG002 - always from 0
        self._data.clear()
        return self

    def write(self, data: bytes) -> None:
        self._data += data

    def digest(self, algorithm: str) -> str:
        running = new_hash(algorithm, len(self._data))
        running.update(bytes(self._data))
        return running.hexdigest()

    def size(self) -> int:
        return len(self._data)

    def commit(self, final: str) -> None:
        hidden = f"{self._arrival.directory}.part"
        os.makedirs(os.path.dirname(hidden), exist_ok=True)
        with open(hidden, "wb") as file:
            file.write(self._data)
        os.replace(hidden, final)
        self._data.clear()

    def reset(self) -> None:
        self._data.clear()

    def close(self) -> None:
        pass


def _copy(source: str, final: str, directory: str) -> None:
    """A second output of one blob: a reflink where the file system can, else a copy, made visible at once."""
    hidden = f"{directory}.copy"
    os.makedirs(os.path.dirname(hidden), exist_ok=True)
    shutil.copyfile(source, hidden)
    os.replace(hidden, final)


def refused_size(entry: Entry, actual: int) -> OriginUnavailable:
    """The error for a stream that ended at the wrong length."""
    return OriginUnavailable(f"{entry.path}: {actual} bytes arrived, {entry.size} were announced", url=entry.url)
