"""One blob on its way to the files that want it: its bytes gather, are verified, and become outputs.

An arrival does not know who brings the bytes. A source asks it for what is missing, writes it, and calls `settle`; the answer
is whether everything is in place, or the bytes were wrong and must be brought once more.
"""

import hashlib
import math
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from functools import cached_property

import attrs

from dfly.errors import IntegrityError
from dfly.events import (
    BytesArrived,
    FileFinished,
    FileSkipped,
    FileStarted,
    FileVerified,
    Listener,
    Retrying,
    SegmentFinished,
)
from dfly.layout import MIB, SMALL, Layout
from dfly.node.at_once import copy_at_once
from dfly.node.gather import Gathering, InMemory, OnDisk, Span, Writer
from dfly.node.proof import already_there, promised
from dfly.output.place import clean, partial_directory, place, remove_stale
from dfly.output.plan import Target
from dfly.values import Digest, Entry


@attrs.define(kw_only=True, eq=False)
class Arrival:
    """The content of `entry`, wanted at `targets`. All methods but a writer's are called by one thread at a time.

    `swarmed` gathers on disk whatever the size, and keeps the partial after `settle`, for the swarm to read.
    """

    blob: str
    entry: Entry
    targets: list[Target]
    root: str
    emit: Listener
    swarmed: bool = False
    settled: bool = False
    _gathering: Gathering | None = None
    _attempt: int = 1

    @classmethod
    def each(cls, targets: Iterable[Target], *, root: str, emit: Listener) -> list["Arrival"]:
        """One arrival for each distinct content, small ones first: they are the files a loader opens first."""
        by_blob: dict[str, Arrival] = {}
        for target in targets:
            blob = target.entry.blob or _alone(target)
            if blob in by_blob:
                by_blob[blob].targets.append(target)
            else:
                by_blob[blob] = cls(blob=blob, entry=target.entry, targets=[target], root=root, emit=emit)
        return sorted(by_blob.values(), key=lambda a: (not a.small, a.entry.path))

    @property
    def label(self) -> str:
        """What events call it."""
        return self.entry.path

    @property
    def files(self) -> int:
        """How many travel as this one blob, to be cut apart at the end."""
        return 1

    @property
    def small(self) -> bool:
        """Whether the blob is known to be a small one."""
        return self.entry.size is not None and self.entry.size <= SMALL

    @property
    def expected(self) -> tuple[Digest, ...]:
        """What the whole blob is held against."""
        return promised(self.targets[0])

    @property
    def place(self) -> str:
        """The path that the partial belongs to."""
        return self.targets[0].path

    @cached_property
    def directory(self) -> str:
        """The hidden directory for the partial, on the output's file system."""
        return partial_directory(self.place, self._kept_as, root=self.root)

    @property
    def _kept_as(self) -> str:
        """What it is called on the user's own disk: the same whichever way it comes, so that another way goes on with it."""
        return self.entry.blob or self.blob

    def bytes_missing(self) -> int:
        """Bytes of disk still to be allocated, an estimate for the check before the first byte."""
        size = self.entry.size or 0
        return max(0, size - _held(self.directory)) + size * (len(self.targets) - 1)

    def gather(self, *, size: int | None = None) -> Gathering:
        """Where the bytes gather; opened the first time. `size`, in bytes, where only the swarm knows it."""
        gathering: Gathering | None = self._gathering
        if gathering is None:
            if self.small and not self.swarmed:
                gathering = InMemory(f"{self.directory}.part", self.entry.size or 0)
            else:
                remove_stale(self.place, self._kept_as, root=self.root)
                gathering = self._on_disk(self.entry.size if size is None else size)
            self._begin(gathering)
        return gathering

    def await_turn(self, stop: threading.Event) -> bool:
        """Wait until no other process is bringing this; True where that one has put everything in place."""
        on_disk = self._on_disk(self.entry.size, wait=math.inf, cancel=stop)
        if all(already_there(target) for target in self.targets):
            on_disk.discard()
            clean(self.root)
            self.settled = True
            for target in self.targets:
                self.emit(FileSkipped(path=target.entry.path, bytes=on_disk.partial.size or 0))
            return True
        self._begin(on_disk)
        return False

    def _on_disk(self, size: int | None, *, wait: float = 0.0, cancel: threading.Event | None = None) -> OnDisk:
        algorithms = {digest.algorithm for digest in self.expected}
        return OnDisk.open(
            self.directory,
            blob=self._kept_as,
            size=size,
            validator=self.entry.validator,
            algorithms=sorted(algorithms | {"sha256"} if self.swarmed else algorithms),
            on_segment=lambda index, _: self.emit(SegmentFinished(path=self.label, index=index)),
            keep=self.swarmed,
            wait=wait,
            cancel=cancel,
        )

    def _begin(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self.emit(FileStarted(path=self.label, bytes=self.entry.size, had=gathering.had, files=self.files))

    def spans(self, *, whole: bool = False) -> Iterator[Span]:
        """The byte ranges still missing, in order. `whole` asks for one span from 0, for origins without ranges."""
        yield from self.gather().spans(whole=whole)

    def writer(self, start: int, stop: int | None, *, source: str) -> Writer:
        """A writer for one span, whose bytes come from `source` (one of events.SOURCES)."""
        return _Counted(self.gather().writer(start, stop), self.label, source, self.emit)

    def agrees(self, *, sha256: str = "") -> bool:
        """Whether the complete blob has the digests that `settle` will hold it against."""
        expected = self.expected or ((Digest("sha256", sha256),) if sha256 else ())
        return all(self.gather().digest(digest.algorithm) == digest.value for digest in expected)

    def settle(self, *, sha256: str = "") -> bool:
        """Verify the complete blob and put it in place. False: the bytes were wrong, once; bring them again.

        `sha256` is what a seed peer computed, asked for where the hub tells no digest of its own.
        Raises IntegrityError the second time, OutputError where the disk refuses.
        """
        gathering = self.gather()
        size = gathering.size()
        if self.entry.size not in (None, size):
            return self._refuse("size", f"{self.entry.size}", f"{size}")
        expected = self.expected or ((Digest("sha256", sha256),) if sha256 else ())
        for digest in expected:
            actual = gathering.digest(digest.algorithm)
            if actual != digest.value:
                return self._refuse(digest.algorithm, digest.value, actual)
        self.emit(FileVerified(path=self.label, digest=str(expected[0]) if expected else None))
        self._place(gathering, size)
        self.settled = True
        return True

    def _refuse(self, algorithm: str, expected: str, actual: str) -> bool:
        self.gather().reset()
        if self._attempt > 1:
            raise IntegrityError(self.label, algorithm=algorithm, expected=expected, actual=actual)
        self._attempt += 1
        cause = f"{algorithm} is {actual}, expected {expected}; fetching it once more"
        self.emit(Retrying(path=self.label, cause=cause, after=0))
        return False

    def _place(self, gathering: Gathering, size: int) -> None:
        first, *others = self.targets
        place(gathering.commit, first.path, entry=first.entry)
        for target in others:
            place(
                lambda final: copy_at_once(first.path, final, hidden=f"{self.directory}.copy"),
                target.path,
                entry=target.entry,
            )
        for target in self.targets:
            self.emit(FileFinished(path=target.entry.path, output=target.path, bytes=size))

    def pieces_here(self, layout: Layout, index: int, hashes: bytes) -> set[int]:  # noqa: ARG002 - one signature for all
        """The pieces of segment `index` that lie in the gathered file already, with these hashes: from elsewhere on the disk."""
        return set()

    def spoiled(self) -> None:
        """The disk has changed what is in its place already. Outputs are the user's by then: nothing to do."""

    def close(self) -> None:
        """Keep an unfinished partial for the next run; remove a settled one."""
        gathering, self._gathering = self._gathering, None
        if gathering is None:
            return
        if isinstance(gathering, OnDisk) and gathering.keep and self.settled:
            gathering.discard()
        else:
            gathering.close()
        if isinstance(gathering, OnDisk):  # what was in memory has left nothing, and thousands of files are
            clean(self.root)


class _Counted:
    """Reports bytes as they are written, in steps that a listener can follow."""

    STEP = MIB

    def __init__(self, writer: Writer, label: str, source: str, emit: Listener) -> None:
        self._writer = writer
        self._label = label
        self._source = source
        self._emit = emit
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
            self._emit(BytesArrived(path=self._label, bytes=self._unsaid, source=self._source))
            self._unsaid = 0


def _alone(target: Target) -> str:
    """The id of content that must not be shared with another task.

    Nothing tells whether a later run would get the same content, so it is another one each time, unless a digest will tell.
    """
    marks = promised(target) or (secrets.token_hex(8),)
    return f"alone-{hashlib.sha256(' '.join([target.path, *map(str, marks)]).encode()).hexdigest()}"


def _held(directory: str) -> int:
    try:
        return os.stat(os.path.join(directory, "data")).st_blocks * 512
    except OSError:
        return 0
