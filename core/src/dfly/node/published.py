"""One file read from a seed peer: what it has published, in any order, each piece held against its SHA-1.

    Published ──ask, lazily──▶ seed peer: the pinned entry, a task
         ╲──event stream─────▶ which segments there are, with the hashes of their pieces
          ╲──report──────────▶ "somebody waits for segment 127": fetched before the others
           ╲──web seed───────▶ their bytes, by ranges of whole pieces

It is a guest of the task, not a member of the ring: it declines the blob, so that no neighbour waits for it and no segment enters
through it. It knows nothing of libtorrent.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx

from dfly import wire
from dfly.errors import Cancelled, DflyError, NotFound, SwarmError
from dfly.layout import Layout
from dfly.node.control import SeedPeer, Whereabouts
from dfly.node.revival import revive
from dfly.packs import entry_blob
from dfly.values import Entry
from dfly.wire import Resolved

#: Seconds between looks at what has changed, and between signs of life: a silent member is forgotten.
_LOOK, _SIGN_OF_LIFE = 0.25, 5.0
#: Attempts in a row at a stretch of bytes without any success.
_TRIES = 4

#: Segments, each with its blob.
Numbers = tuple[tuple[str, int], ...]


class Published:
    """The bytes of a task's only entry, at the seed peer that resolved it; see `dfly.node.streamed.Source`.

    `stop` ends every wait, with Cancelled. `patience` is for how many seconds the seed peer may be away.
    """

    way = "seed-peer"

    def __init__(self, peer: SeedPeer, resolved: Resolved, *, stop: threading.Event, patience: float) -> None:
        (self.entry,) = resolved.snapshot.entries
        assert self.entry.size is not None, "a file whose size nobody knows has no pieces"
        self.size = self.entry.size
        self.layout = Layout(self.size)
        self.unit = self.layout.piece_length
        self._peer, self._resolved, self._patience = peer, resolved, patience
        self._blob = entry_blob(self.entry, resolved.snapshot, task=resolved.task)
        self._me = Whereabouts(node=secrets.token_hex(8), port=0)
        self._stop, self._left = stop, threading.Event()
        self._changed = threading.Condition()
        self._segments: dict[int, bytes] = {}
        self._attempt, self._grant = 0, ""
        self._error: DflyError | None = None
        self._lost_at: float | None = None
        self._awaited: dict[object, range] = {}
        self._told: Numbers = ()
        self._told_at = 0.0
        self._cut: Callable[[], None] = _nothing
        threading.Thread(target=self._listen, name="dfly-published", daemon=True).start()

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes of whole pieces, right ones only.

        Raises what the seed peer met at the source; SwarmError where it is gone or sends wrong bytes; Cancelled.
        """
        layout, me = self.layout, object()
        wanted = layout.segments_touched(start, stop)
        try:
            for segment in wanted:
                first, last = layout.segment_range(segment)
                self._awaited[me] = range(segment, wanted.stop)
                yield from self._stretch(segment, max(first, start), min(last, stop))
        finally:
            self._awaited.pop(me, None)

    def close(self) -> None:
        """Leave the task."""
        self._left.set()
        self._cut()
        with self._changed:
            self._changed.notify_all()

    # Bytes

    def _stretch(self, segment: int, start: int, stop: int) -> Iterator[bytes]:
        """The pieces of `[start, stop)`, which lie in one segment."""
        failures = 0
        while start < stop:
            hashes, grant = self._published(segment)
            try:
                for piece in self._pieces(segment, hashes, grant, start, stop):
                    start, failures = start + len(piece), 0
                    yield piece
            except (httpx.HTTPError, SwarmError) as error:
                failures += 1
                if failures >= _TRIES:
                    raise SwarmError(f"{self.entry.path}: the seed peer does not send it: {error}") from error
                self._pause()

    def _pieces(self, segment: int, hashes: bytes, grant: str, start: int, stop: int) -> Iterator[bytes]:
        layout, numbers = self.layout, self.layout.segment_pieces(segment)
        url, asked = self._peer.web_seed(grant, self._blob), {"Range": f"bytes={start}-{stop - 1}"}
        rest = bytearray()
        with self._peer.client.stream("GET", url, headers=asked) as response:
            if response.status_code != 206:
                raise SwarmError(f"the seed peer answered {response.status_code} for bytes that it has published")
            for chunk in response.iter_raw():
                rest += chunk
                while start < stop and len(rest) >= (length := min(self.unit, layout.size - start)):
                    piece, number = bytes(rest[:length]), start // self.unit - numbers.start
                    if hashlib.sha1(piece, usedforsecurity=False).digest() != hashes[20 * number : 20 * number + 20]:
                        self._accuse(segment)
                        raise SwarmError(f"the seed peer sent wrong bytes of {self.entry.path}")
                    del rest[:length]
                    start += length
                    yield piece
        if start < stop:
            raise SwarmError("the seed peer's answer ended early")

    def _published(self, segment: int) -> tuple[bytes, str]:
        """The hashes of a segment's pieces and what opens the web seed, as soon as the seed peer has them."""
        while True:
            with self._changed:
                self._raise_for_end()
                if segment in self._segments and self._grant:
                    return self._segments[segment], self._grant
            self._tell()
            with self._changed:
                if segment not in self._segments and self._error is None:
                    self._changed.wait(_LOOK)

    def _raise_for_end(self) -> None:
        if self._stop.is_set():
            raise Cancelled
        if self._left.is_set():
            # another read has given the seed peer up
            raise SwarmError("the seed peer was left")
        if self._error is not None:
            raise self._error
        if self._is_gone():
            raise SwarmError("the seed peer is gone")

    def _pause(self) -> None:
        if self._stop.wait(_LOOK):
            raise Cancelled

    # What is told

    def _tell(self) -> None:
        """That the blob is wanted, though not here, and which segments somebody waits for."""
        first = tuple({(self._blob, n): None for span in self._awaited.copy().values() for n in span[:2]})
        now = time.monotonic()
        if not self._grant or (first == self._told and now < self._told_at + _SIGN_OF_LIFE):
            return
        self._report(first=first)
        self._told, self._told_at = first, now

    def _accuse(self, segment: int) -> None:
        self._report(bad_segments=((self._blob, segment),))

    def _report(self, *, first: Numbers = (), bad_segments: Numbers = ()) -> None:
        mine = (self._blob,)
        report = wire.Report(node=self._me.node, declined=mine, accepted=mine, first=first, bad_segments=bad_segments)
        # where the seed peer is away it is told again, when it is back
        with suppress(DflyError):
            self._peer.report(self._resolved.task, report)

    # What is heard

    def _listen(self) -> None:
        while not self._left.is_set() and not self._is_gone():
            try:
                self._listen_once()
            except SwarmError:
                pass  # it may come back
            except NotFound:
                # it was started anew, or has waited for too long
                self._end(SwarmError("the seed peer knows nothing of the task any more"))
                return
            except DflyError as error:
                self._end(error)
                return
            with self._changed:
                self._told_at = 0.0
                self._lost_at = self._lost_at or time.monotonic()
            self._left.wait(_LOOK)
        self._end(SwarmError("the seed peer is gone"))

    def _listen_once(self) -> None:
        with self._peer.events(self._resolved.task, self._me, ticket=self._resolved.ticket) as stream:
            self._cut = stream.cut
            for message in stream.messages:
                if self._left.is_set():
                    return
                self._hear(message)

    def _is_gone(self) -> bool:
        return self._lost_at is not None and time.monotonic() > self._lost_at + self._patience

    def _end(self, error: DflyError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _hear(self, message: wire.Message) -> None:
        hashes = b""
        if isinstance(message, wire.Blob) and message.blob == self._blob and message.state == "complete":
            hashes = self._peer.hashes(self._resolved.task, self._blob)
        with self._changed:
            self._lost_at = None
            match message:
                case wire.Hello():
                    self._grant = message.grant
                case wire.Segment(blob=self._blob):
                    self._begin(message.attempt)
                    self._segments[message.index] = message.hashes
                case wire.Blob(blob=self._blob, state="complete"):
                    self._begin(message.attempt)
                    self._complete(hashes)
                case wire.Blob(blob=self._blob):
                    self._segments.clear()
                case wire.Failed() if message.blob in ("", self._blob):
                    self._error = revive(message.error, message.message, message.hint)
            self._changed.notify_all()
        if isinstance(message, wire.Hello):
            self._tell()

    def _begin(self, attempt: int) -> None:
        """Another attempt means other bytes: what was published before counts for nothing."""
        if attempt != self._attempt:
            self._attempt = attempt
            self._segments.clear()

    def _complete(self, hashes: bytes) -> None:
        for segment in range(self.layout.segments):
            pieces = self.layout.segment_pieces(segment)
            self._segments[segment] = hashes[20 * pieces.start : 20 * pieces.stop]


def entry_of(resolved: Resolved) -> Entry:
    """The one file that a seed peer was asked for. Raises SwarmError where it names another number of them."""
    entries = resolved.snapshot.entries
    if len(entries) != 1:
        raise SwarmError(f"the seed peer names {len(entries)} files where one was asked for")
    return entries[0]


def unsized(entry: Entry) -> SwarmError:
    """Why a file whose size nobody tells is not read from a seed peer."""
    return SwarmError(
        f"{entry.path}: its source does not tell its size, so nobody can pass it on while it arrives",
        hint="fetch it to a file, or leave out --no-back-to-source",
    )


def _nothing() -> None:
    """There is no stream to cut yet."""
