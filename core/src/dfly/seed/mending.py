"""Finds out which pieces of a file the disk has changed, and puts right ones in their place.

In place, piece by piece, and only bytes that have the hashes that were made when they first came: a node that reads at the same
time gets right bytes, or wrong ones that it refuses. So nobody has to be told.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
import structlog

from dfly.backend import Backend
from dfly.errors import IntegrityError, OutputError
from dfly.layout import Layout
from dfly.seed.intake import Intake, Order
from dfly.seed.publication import Publication
from dfly.values import Entry

_HASH_LENGTH = 20

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


def mend(
    damaged: Mapping[Suspect, Sequence[int]],
    *,
    intake: Intake,
    priority: int,
    finished: Callable[[BaseException | None], None],
) -> None:
    """Bring the wrong pieces of one blob's suspects again; nobody may read these segments before they are shown.

    `priority` and `finished` are as for an `Order`.
    """
    for suspect in damaged:
        publication, index = suspect.publication, suspect.index
        _log.warning(
            "segment.damaged", blob=publication.blob, segment=index, cause="the disk gives other bytes than it took"
        )
        publication.hide(index)
    first = next(iter(damaged))
    layout = first.layout
    intake.bring(
        Order(
            entry=first.entry,
            backend=first.backend,
            spans=iter([layout.piece_range(piece) for pieces in damaged.values() for piece in pieces]),
            whole=(0, layout.size),
            writer=lambda start, stop: Mender(damaged, start, layout.size if stop is None else stop),
            finished=finished,
            priority=priority,
        )
    )


class Mender:
    """Takes the bytes `[start, stop)` of a blob and writes the pieces of its suspect segments, each once it is proved right."""

    def __init__(self, suspects: Iterable[Suspect], start: int, stop: int) -> None:
        self._suspects = {suspect.index: suspect for suspect in suspects}
        self._layout = next(iter(self._suspects.values())).layout
        self._at, self._stop = start, stop
        self._piece = bytearray()

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises IntegrityError for a piece that is not the published one, OutputError from the disk."""
        view = memoryview(data)
        while view:
            piece = self._at // self._layout.piece_length
            start, stop = self._layout.piece_range(piece)
            taken = view[: stop - self._at]
            suspect = self._suspects.get(self._layout.segment_of(start))
            if suspect is not None:
                self._piece += taken
            self._at, view = self._at + len(taken), view[len(taken) :]
            if self._at == stop and suspect is not None:
                data, self._piece = bytes(self._piece), bytearray()
                _put(suspect, piece, data)

    def close(self) -> None:
        """All bytes have come."""


def _put(suspect: Suspect, piece: int, data: bytes) -> None:
    layout, path = suspect.layout, suspect.publication.path or ""
    own = piece - layout.segment_pieces(suspect.index).start
    expected = suspect.hashes[own * _HASH_LENGTH : (own + 1) * _HASH_LENGTH]
    actual = hashlib.sha1(data, usedforsecurity=False).digest()
    if actual != expected:
        raise IntegrityError(suspect.entry.path, algorithm="sha1", expected=expected.hex(), actual=actual.hex())
    try:
        mode = os.stat(path).st_mode
        os.chmod(path, mode | 0o200)  # a committed blob is read-only
        with open(path, "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), data, layout.piece_range(piece)[0])
            os.fchmod(file.fileno(), mode)
    except OSError as error:
        raise OutputError.from_os(error, path) from error
