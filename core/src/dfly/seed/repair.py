"""Looks again at a published segment that a node got wrong bytes of, and mends what the disk has changed since.

The segment is kept back from the web seed meanwhile. It is mended in place, piece by piece, and only with bytes that have the
hashes that were published: a node that reads at the same time gets right bytes, or wrong ones that it refuses. So nobody has to
be told, and one flipped bit costs the hub one piece and not the blob.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable

import attrs
import structlog

from dfly.backend import Backend
from dfly.errors import DflyError, IntegrityError, OutputError
from dfly.layout import Layout
from dfly.seed.inbound import as_dfly
from dfly.seed.intake import Intake, Order
from dfly.seed.publication import Publication
from dfly.values import Entry

#: Seconds in which the same segment is not looked at twice: any node may ask for it.
PAUSE = 5.0
_HASH_LENGTH = 20
_PRIORITY = 0

_log = structlog.get_logger()


@attrs.frozen(kw_only=True, eq=False)
class Suspect:
    """Segment `index` of a published blob, `hashes` of its pieces, and how to get it again."""

    publication: Publication
    index: int
    hashes: bytes = attrs.field(repr=False)
    entry: Entry
    backend: Backend

    @property
    def layout(self) -> Layout:
        """How the blob is cut."""
        return Layout(self.publication.size or 0)


class Repairs:
    """What is being looked at. `later(step)` runs a step in another thread.

    `lost(publication, error)` is told what cannot be mended.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        later: Callable[[Callable[[], None]], None],
        lost: Callable[[Publication, DflyError], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intake, self._later, self._lost, self._clock = intake, later, lost, clock
        self._lock = threading.Lock()
        self._looked: dict[tuple[str, int], float] = {}

    def allowed(self, blob: str, index: int) -> bool:
        """Whether it is time to look at this segment; if so, it is not for a while."""
        now = self._clock()
        with self._lock:
            self._looked = {segment: at for segment, at in self._looked.items() if now - at < PAUSE}
            return self._looked.setdefault((blob, index), now) == now

    def look(self, suspect: Suspect) -> None:
        """Read the segment, and order anew what is not as it was published. Blocks while it reads."""
        publication, index = suspect.publication, suspect.index
        wrong = wrong_pieces(suspect)
        if not wrong:
            _log.info("segment.intact", blob=publication.blob, segment=index)
            return
        _log.warning(
            "segment.damaged", blob=publication.blob, segment=index, cause="the disk gives other bytes than it took"
        )
        publication.hide(index)
        self._intake.bring(
            Order(
                entry=suspect.entry,
                backend=suspect.backend,
                spans=iter([suspect.layout.piece_range(piece) for piece in wrong]),
                whole=(0, suspect.layout.size),
                writer=lambda first, last: Mender(suspect, first or 0, last or suspect.layout.size),
                finished=lambda error: self._later(lambda: self._finished(suspect, error)),
                priority=_PRIORITY,
            )
        )

    def _finished(self, suspect: Suspect, error: BaseException | None) -> None:
        publication, index = suspect.publication, suspect.index
        if error is None and not wrong_pieces(suspect):
            _log.warning("segment.repaired", blob=publication.blob, segment=index)
            publication.show(index)
            return
        why = error or OutputError(f"{publication.path}: the disk does not keep what is written to it")
        self._lost(publication, as_dfly(why, suspect.entry.path))


def wrong_pieces(suspect: Suspect) -> list[int]:
    """The pieces of which the file has not the bytes that were published, or none at all."""
    layout, wrong = suspect.layout, []
    for at, piece in enumerate(layout.segment_pieces(suspect.index)):
        start, stop = layout.piece_range(piece)
        try:
            with open(suspect.publication.path or "", "rb", buffering=0) as file:
                data = os.pread(file.fileno(), stop - start, start)
        except OSError:
            data = b""
        sha1 = hashlib.sha1(data, usedforsecurity=False).digest()
        if sha1 != suspect.hashes[at * _HASH_LENGTH : (at + 1) * _HASH_LENGTH]:
            wrong.append(piece)
    return wrong


class Mender:
    """Takes the bytes `[start, stop)` of the blob and writes those of the suspect segment, each piece once it is proved right."""

    def __init__(self, suspect: Suspect, start: int, stop: int) -> None:
        self._suspect, self._at, self._stop = suspect, start, stop
        self._layout = suspect.layout
        self._first, self._last = self._layout.segment_range(suspect.index)
        self._piece = bytearray()

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises IntegrityError for a piece that is not the published one, OutputError from the disk."""
        begin = min(max(self._first - self._at, 0), len(data))
        end = min(max(self._last - self._at, 0), len(data))
        view = memoryview(data)[begin:end]
        at = self._at + begin
        self._at += len(data)
        while len(view):
            piece = at // self._layout.piece_length
            start, stop = self._layout.piece_range(piece)
            taken = view[: stop - at]
            self._piece += taken
            at, view = at + len(taken), view[len(taken) :]
            if at == stop:
                self._put(piece, start)

    def close(self) -> None:
        """All bytes have come."""

    def _put(self, piece: int, start: int) -> None:
        data, self._piece = bytes(self._piece), bytearray()
        own = piece - self._layout.segment_pieces(self._suspect.index).start
        expected = self._suspect.hashes[own * _HASH_LENGTH : (own + 1) * _HASH_LENGTH]
        actual = hashlib.sha1(data, usedforsecurity=False).digest()
        if actual != expected:
            raise IntegrityError(
                self._suspect.entry.path, algorithm="sha1", expected=expected.hex(), actual=actual.hex()
            )
        path = self._suspect.publication.path or ""
        try:
            mode = os.stat(path).st_mode
            os.chmod(path, mode | 0o200)  # a committed blob is read-only
            with open(path, "r+b", buffering=0) as file:
                os.pwrite(file.fileno(), data, start)
                os.fchmod(file.fileno(), mode)
        except OSError as error:
            raise OutputError.from_os(error, path) from error
