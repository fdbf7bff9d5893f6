"""Ways to the bytes of one file, each a `dfly.node.streamed.Source`: where it is, and rather here than there."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator

from dfly.errors import RangesUnsupported, SwarmError
from dfly.events import Listener, Warned
from dfly.layout import MIB
from dfly.node.streamed import Source
from dfly.origin.patience import Patient
from dfly.values import Entry

#: Bytes held in memory while a file of a server without ranges is put aside.
_CHUNK = MIB


class FromSource:
    """One file by ranges from where it is, again and again where a connection breaks; see `Source`.

    A server that knows no ranges, or does not tell the size, sends the whole once: into an unnamed file of the system's
    temporary folder, from where it is read then.
    """

    unit = 1

    def __init__(self, patient: Patient, entry: Entry, *, way: str) -> None:
        self._patient, self._entry, self.way = patient, entry, way
        self._aside: int | None = None
        self._turn = threading.Lock()
        self.size = self._put_aside() if entry.size is None else entry.size

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """See `Source`."""
        if self._aside is None:
            try:
                yield from self._patient.read(self._entry, start, stop)
            except RangesUnsupported:
                self._put_aside()
            else:
                return
        assert self._aside is not None
        while start < stop and (chunk := os.pread(self._aside, min(_CHUNK, stop - start), start)):
            start += len(chunk)
            yield chunk

    def close(self) -> None:
        """See `Source`."""
        with self._turn:
            if self._aside is not None:
                os.close(self._aside)
                self._aside = None

    def _put_aside(self) -> int:
        """Fetch all of it, once; its size in bytes."""
        with self._turn:
            if self._aside is None:
                with tempfile.TemporaryFile() as file:
                    for chunk in self._patient.read(self._entry, 0, self._entry.size):
                        file.write(chunk)
                    file.flush()
                    self._aside = os.dup(file.fileno())
            return os.fstat(self._aside).st_size


class Rather:
    """From `first` as long as the swarm serves, then from what `otherwise` makes; None: then not at all. See `Source`."""

    def __init__(self, first: Source, otherwise: Callable[[], Source] | None, *, tell: Listener) -> None:
        self.unit, self.size = first.unit, first.size
        self._now, self._otherwise, self._tell = first, otherwise, tell
        self._turn = threading.Lock()

    @property
    def way(self) -> str:
        """See `Source`."""
        return self._now.way

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """See `Source`."""
        while True:
            source = self._now
            try:
                for chunk in source.read(start, stop):
                    start += len(chunk)
                    yield chunk
            except SwarmError as error:
                self._give_up(source, error)
            else:
                return

    def close(self) -> None:
        """See `Source`."""
        self._now.close()

    def _give_up(self, source: Source, error: SwarmError) -> None:
        with self._turn:
            if self._now is not source:
                return
            if self._otherwise is None:
                raise error
            self._tell(Warned(message=f"{error.message}; going back to the source"))
            self._now, self._otherwise = self._otherwise(), None
        source.close()
