"""One blob on its way through the swarm: which segments are announced, ongoing, held. Bookkeeping only; `rolling` acts.

announced ──▶ waiting ──▶ ongoing ──▶ held (readable here, served to others) ──▶ journalled
"""

import hashlib
import heapq
import os
from collections.abc import Iterator

import attrs

from dfly import wire
from dfly.layout import Layout
from dfly.node.arrival import Arrival
from dfly.node.gather import OnDisk
from dfly.node.readers import Readers
from dfly.node.window import Ongoing


@attrs.define(eq=False)
class Flow:
    """The state of `arrival`'s blob. `attempt` counts as the seed peer's does; `sha256` is what it computed, once known.

    Nothing is asked for while what was there is thrown away (`emptying`), or while the seed peer is to say what it thinks of
    bytes that were found wrong here (`doubted`).
    """

    arrival: Arrival
    #: What is read of it while it arrives.
    readers: Readers | None = None
    attempt: int = 1
    layout: Layout | None = None
    hashes: dict[int, bytes] = attrs.field(factory=dict)
    macs: dict[int, str] = attrs.field(factory=dict)
    waiting: list[int] = attrs.field(factory=list)
    ongoing: dict[int, Ongoing] = attrs.field(factory=dict)
    held: set[int] = attrs.field(factory=set)
    duties: set[int] = attrs.field(factory=set)
    later_duties: set[int] = attrs.field(factory=set)
    journalled: set[int] = attrs.field(factory=set)
    #: Right pieces of waiting segments, which need not come.
    pieces_here: dict[int, set[int]] = attrs.field(factory=dict)
    sha256: str = ""
    size: int = 0
    settling: bool = False
    asking: bool = False
    emptying: int = 0
    doubted: bool = False
    #: How often this disk has given other bytes than it took.
    damages: int = 0
    #: Whether nobody near needs it from here, and who was near when that was said.
    over: bool = False
    near_then: frozenset[wire.Address] = frozenset()
    #: Held segments that have no torrent.
    resting: set[int] = attrs.field(factory=set)

    @property
    def blob(self) -> str:
        """The blob's id."""
        return self.arrival.blob

    @property
    def held_up(self) -> bool:
        """Whether there is a reason to ask for nothing."""
        return self.doubted or self.emptying > 0

    def gathered(self) -> OnDisk:
        """The partial on disk; `announce` opens it."""
        gathering = self.arrival.gather()
        assert isinstance(gathering, OnDisk)
        return gathering

    def open(self, size: int) -> None:
        """Begin to gather a blob of `size` bytes."""
        gathering = self.arrival.gather(size=size)
        assert isinstance(gathering, OnDisk)
        self.layout = gathering.partial.layout

    def announce(self, index: int, size: int, hashes: bytes, mac: str = "") -> bool:
        """Note that a segment can be had. True where its bytes are here already, from an earlier run.

        Raises WireError where it does not fit the blob.
        """
        if self.layout is None:
            self.open(size)
        assert self.layout is not None
        fits = size == self.layout.size and index < self.layout.segments
        if not fits or len(hashes) != 20 * len(self.layout.segment_pieces(index)):
            raise wire.WireError(f"segment {index} of {self.blob} does not fit a blob of {self.layout.size} bytes")
        if mac:
            self.macs[index] = mac
        if index in self.hashes:
            return False
        self.hashes[index] = hashes
        if not self.emptying and self.gathered().partial.segment_hashes(index) == hashes:
            self.held.add(index)
            self.journalled.add(index)
            return True
        here = set() if self.emptying else self.arrival.pieces_here(self.layout, index, hashes)
        if len(here) == len(self.layout.segment_pieces(index)):
            self.gathered().partial.segment_arrived(index, hashes)
            self.held.add(index)
            self.journalled.add(index)
            return True
        if here:
            self.pieces_here[index] = here
        heapq.heappush(self.waiting, index)
        return False

    def announce_all(self, size: int, told: bytes) -> Iterator[int]:
        """As `announce` for every segment of a complete blob; yields those that are here already.

        `told` is 20 bytes a piece, and where the cluster has a secret 16 more a segment.
        """
        layout = Layout(size)
        hashes, macs = told[: 20 * layout.pieces], told[20 * layout.pieces :]
        if len(hashes) != 20 * layout.pieces or len(macs) not in (0, 16 * layout.segments):
            raise wire.WireError(f"the hashes of {self.blob} do not fit a blob of {size} bytes")
        if layout.segments == 0:
            self.open(size)
        for index in range(layout.segments):
            pieces = layout.segment_pieces(index)
            mac = macs[16 * index : 16 * (index + 1)].hex()
            if self.announce(index, size, hashes[20 * pieces.start : 20 * pieces.stop], mac):
                yield index

    def oblige(self, index: int) -> bool:
        """This node is to bring a segment in. False where it holds it.

        A duty may overtake the word that the blob was withdrawn: then what is held or under way is not what is meant.
        """
        if index in self.ongoing or index in self.held:
            self.later_duties.add(index)
        if index in self.held:
            return False
        self.duties.add(index)
        return True

    def right_pieces(self, index: int) -> set[int]:
        """The pieces of a segment whose bytes on the disk are the announced ones. Reads all of them; from any thread.

        Raises OSError.
        """
        assert self.layout is not None
        right, hashes = set(), self.hashes.get(index, b"")
        # by its path, which is for life: a settled blob may be closed
        with open(self.gathered().partial.path, "rb", buffering=0) as file:
            for at, piece in enumerate(self.layout.segment_pieces(index)):
                start, stop = self.layout.piece_range(piece)
                sha1 = hashlib.sha1(os.pread(file.fileno(), stop - start, start), usedforsecurity=False).digest()
                if sha1 == hashes[20 * at : 20 * at + 20]:
                    right.add(piece)
        return right

    def damaged(self) -> dict[int, set[int]]:
        """Segments that the disk has changed, with their right pieces. Reads the whole blob; from any thread."""
        assert self.layout is not None
        looked = {index: self.right_pieces(index) for index in range(self.layout.segments)}
        return {i: right for i, right in looked.items() if len(right) < len(self.layout.segment_pieces(i))}

    def records(self, *, held_only: bool) -> list[wire.Segment]:
        """The announced segments as messages, for a seed peer that does not know them. May be called from any thread."""
        if self.layout is None:
            return []
        known = list(self.hashes.items())
        return [
            wire.Segment(
                blob=self.blob,
                index=index,
                size=self.layout.size,
                hashes=hashes,
                attempt=self.attempt,
                mac=self.macs.get(index, ""),
            )
            for index, hashes in known
            if not held_only or index in self.held
        ]

    @property
    def flying(self) -> int:
        """Bytes of the segments that were asked for and are not there yet."""
        if self.layout is None or not self.ongoing:
            return 0
        # asked for at every turn, so not a sum over them: all segments but the last are of one length
        last, length = self.layout.segments - 1, self.layout.segment_length
        short = length - self.length(last) if last in self.ongoing else 0
        return len(self.ongoing) * length - short

    def length(self, index: int) -> int:
        """Bytes of one segment."""
        assert self.layout is not None
        start, stop = self.layout.segment_range(index)
        return stop - start

    def take_duty(self) -> int | None:
        """The next announced segment that this node is to bring into the ring, or None."""
        if self.held_up or self.arrival.settled:  # a settled file is the user's, and never written to again
            return None
        hashes, ongoing, held = self.hashes, self.ongoing, self.held
        return min((i for i in self.duties if i in hashes and i not in ongoing and i not in held), default=None)

    def awaited(self) -> list[int]:
        """The segments that somebody cannot read on without, whether or not they can be had yet."""
        size = self.arrival.entry.size if self.layout is None else self.layout.size
        if self.readers is None or size is None or self.arrival.settled:
            return []
        layout, found = Layout(size), dict[int, None]()
        for each in self.readers.of(self.blob):
            found.update(dict.fromkeys(layout.segments_touched(each.start, each.stop)))
        return [index for index in found if index not in self.held]

    def take_awaited(self) -> int | None:
        """The next announced segment that somebody waits to read, or None."""
        if self.held_up:
            return None
        return next((i for i in self.awaited() if i in self.hashes and i not in self.ongoing), None)

    def take_waiting(self) -> int | None:
        """The next segment in order, or None."""
        while self.waiting and not self.held_up:
            index = heapq.heappop(self.waiting)
            if index not in self.ongoing and index not in self.held:
                return index
        return None

    @property
    def whole(self) -> bool:
        """Whether every byte is here and journalled."""
        return self.layout is not None and len(self.journalled) == self.layout.segments

    @property
    def ready_to_settle(self) -> bool:
        """Whether it can be verified now: whole, and there is a digest to verify against."""
        told = bool(self.arrival.entry.digests) or bool(self.sha256)
        return self.whole and told and not self.settling and not self.arrival.settled

    @property
    def hashes_missing(self) -> bool:
        """Whether the blob is complete at the seed peer, and not all its segments are announced."""
        announced = self.layout is not None and len(self.hashes) == self.layout.segments
        return bool(self.sha256) and not announced and not self.arrival.settled

    def empty(self) -> None:
        """Throw away the bytes. Runs where they are hashed, so that it never falls between a check and its outcome."""
        if self.layout is not None and not self.arrival.settled:
            self.gathered().reset()

    def restart(self, attempt: int) -> None:
        """Forget what was held; what was announced for this attempt stays announced."""
        if attempt != self.attempt:
            self.duties = self.later_duties | (self.duties - self.ongoing.keys() - self.held)
            self.hashes, self.macs, self.later_duties, self.sha256 = {}, {}, set(), ""
        self.ongoing, self.held, self.journalled, self.pieces_here = {}, set(), set(), {}
        self.over, self.resting = False, set()
        self.waiting = sorted(self.hashes)
        self.attempt = attempt
