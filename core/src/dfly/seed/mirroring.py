"""What the seed peer asks of its mirror, which fetches each blob once, and what the mirror tells it.

The mirror works in threads; its listener is called from them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

from dfly.backend import Backend
from dfly.errors import DflyError
from dfly.packs import Freight
from dfly.store.blobs import BlobStore, Committed

#: What a look at a blob found: "lost" is one that could not be mended, and is fetched anew when it is asked for.
Verdict = Literal["right", "mended", "lost"]


class BlobState(Protocol):
    """A blob at one moment."""

    @property
    def attempt(self) -> int:
        """Counts from 1; the next one begins when a blob is withdrawn."""

    @property
    def size(self) -> int | None:
        """Bytes of the whole blob, None while nobody knows."""

    @property
    def complete(self) -> bool:
        """Whether all of it is there and right."""

    @property
    def sha256(self) -> str:
        """Of a complete blob, in hex."""

    @property
    def segments(self) -> Mapping[int, bytes]:
        """The published segments of this attempt with their piece hashes, 20 bytes each."""


class Mirror(Protocol):
    """Brings blobs from their origin to this machine's disk."""

    @property
    def store(self) -> BlobStore:
        """Where the blobs are kept, for whoever brings one in another way: one that is committed is not fetched."""

    @property
    def hub_bytes(self) -> int:
        """Bytes of content that origins have sent so far."""

    @property
    def asking(self) -> bool:
        """Whether an origin is being asked for content now."""

    def want(self, freight: Freight, backend: Backend, *, task: str, held_back: bool = False) -> None:
        """Begin to fetch what is not there yet; returns at once. Asking twice is asking once.

        `held_back`: publish what is there, and ask no origin for what has not begun before `let_go`.
        """

    def hurry(self, blob: str, segments: Sequence[int]) -> None:
        """Somebody waits for these segments: fetch them before everything else, as soon as the blob is wanted."""

    def let_go(self, freight: Freight) -> None:
        """Fetch now what was held back and was not adopted meanwhile."""

    def adopt(self, blob: str, index: int, size: int, hashes: bytes, attempt: int) -> bool:
        """Nodes hold this segment, which an earlier seed peer published: do not fetch it. False where that is of no use."""

    def reclaim(self, blob: str, index: int) -> None:
        """Nobody holds this adopted segment any more: fetch it after all."""

    def receive(self, blob: str) -> str | None:
        """The file into which adopted segments of `blob` may be written now; None: not yet, ask again."""

    def received(self, blob: str, index: int, hashes: bytes) -> None:
        """An adopted segment was written there, and its pieces have these hashes. Takes a while: it is hashed on."""

    def backends(self) -> Collection[Backend]:
        """Those that it may still fetch with."""

    def published(self, blob: str, start: int, stop: int) -> bool:
        """Whether all bytes of `[start, stop)` may be read."""

    def path(self, blob: str) -> str | None:
        """The file that holds them."""

    def size(self, blob: str) -> int | None:
        """Bytes of the whole blob, None while nobody knows."""

    def hashes(self, blob: str) -> bytes | None:
        """20 bytes for each piece, once the blob is complete."""

    def committed(self, blob: str) -> Committed | None:
        """The blob where it is here and whole, whether or not anybody wants it at present. Asks the disk."""

    def state(self, blob: str) -> BlobState:
        """How far it is."""

    def hold_back(self, freight: Freight) -> None:
        """Ask no origin for more of this before `let_go`; what has begun comes to its end."""

    def recheck(self, blob: str, index: int) -> None:
        """Somebody got wrong bytes of a segment from here: look, and repair what is wrong. Returns at once."""

    def held(self) -> Iterator[str]:
        """All blobs that are here and whole, whoever wanted them. Asks the disk."""

    def busy(self, blob: str) -> bool:
        """Whether it is on its way, or waits for that."""

    def remove(self, blobs: Iterable[str]) -> list[str]:
        """Take blobs that nobody wants any more off the disk; returns those that were on their way, and stay."""

    def verify(self, blob: str) -> Verdict | None:
        """Read a committed blob, hold it against its digest, and mend what is damaged; None where there is none."""

    def close(self) -> None:
        """Stop fetching and let go of the disk."""


class MirrorListener(Protocol):
    """Hears what happens to blobs, in order for each of them."""

    def segment_published(self, blob: str, index: int, size: int, hashes: bytes, attempt: int) -> None:
        """A segment of a blob of `size` bytes can be read."""

    def blob_complete(self, blob: str, size: int, sha256: str, attempt: int) -> None:
        """All of it can be read, and is right."""

    def blob_withdrawn(self, blob: str, attempt: int) -> None:
        """What `attempt` published was wrong."""

    def blob_failed(self, blob: str, error: DflyError) -> None:
        """It cannot be had."""

    def waiting_for(self, what: str) -> None:
        """What the mirror waits for, "" when for nothing out of the ordinary."""
