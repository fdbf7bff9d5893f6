"""What another run goes on with: a partial's journal, from when on there is one, and what is told to it.

A blob of several segments is journalled from its first byte. One of a single segment, and there may be thousands of those, gets a
journal when it is closed with all of its bytes there. Of a blob whose size nobody knows, nothing can be gone on with.
"""

from collections.abc import Iterable
from pathlib import Path

from dfly.layout import Layout
from dfly.store.journal import Header, Journal, Loose, Record
from dfly.store.survivors import survivors


class Resuming:
    """The journal at `path`, about the open data file `fd`; `header` is None where the size is unknown.

    Made anew from what an earlier run has left: `records` and `loose` of it are there still. Thread-safe as a `Journal` is.
    All methods raise OSError.
    """

    def __init__(self, path: str, *, fd: int, header: Header | None, boot: str) -> None:
        self._path, self._fd, self._header, self._boot = path, fd, header, boot
        self._journal: Journal | None = None
        self.records: tuple[Record, ...] = ()
        self.loose: tuple[Loose, ...] = ()
        if header is not None:
            self.records, self.loose = survivors(fd, path, header, boot)
            if self.records or Layout(header.size).segments > 1:
                self._journal = self._begin(header, self.records, self.loose)
        if not self._journal and not self.loose:
            self._remove_stale()

    @property
    def possible(self) -> bool:
        """Whether another run could go on with anything."""
        return self._header is not None

    @property
    def begun(self) -> bool:
        """Whether there is a journal by now."""
        return self._journal is not None

    def add(self, segment: int, hashes: bytes, *, length: int) -> None:
        """A segment of `length` bytes is there."""
        if self._journal:
            self._journal.append(segment, hashes, length=length)

    def add_piece(self, piece: int, sha1: bytes) -> None:
        """A piece is there of a segment that is not."""
        if self._journal:
            self._journal.append_piece(piece, sha1)

    def add_whole(self, hashes: bytes) -> None:
        """All of the blob is there. Where there is no journal yet it is one segment, whose pieces have these `hashes`."""
        if self._header and not self._journal:
            self._journal = self._begin(self._header, [Record(0, hashes)])

    def sync_if_due(self) -> None:
        """Have what was told outlive a power loss, if it is time."""
        if self._journal:
            self._journal.sync_if_due(self._fd)

    def restart(self) -> None:
        """Forget all of it, before the data is overwritten."""
        if self._journal:
            self._journal.restart()
        else:
            self._remove_stale()

    def remove(self) -> None:
        """There is nothing left to go on with: the data has another name. Leaves alone what another process has begun there."""
        if self._journal:
            self._journal.unlink()

    def close(self) -> None:
        """Nothing more will be told."""
        if self._journal:
            self._journal.close()

    def _begin(self, header: Header, records: Iterable[Record], loose: Iterable[Loose] = ()) -> Journal:
        return Journal(self._path, header, boot=self._boot, records=records, loose=loose)

    def _remove_stale(self) -> None:
        Path(self._path).unlink(missing_ok=True)
