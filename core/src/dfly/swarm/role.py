"""What a task in the swarm asks of a session: `Swarm` is one, and so is one task's share of a session that several use."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from dfly.layout import Layout
from dfly.swarm.events import Address, Key, SegmentKey, WholeKey


class Session(Protocol):
    """See `Swarm` for what each method does."""

    @property
    def port(self) -> int: ...  # noqa: D102

    def add_segment(  # noqa: D102
        self,
        blob: str,
        layout: Layout,
        index: int,
        hashes: bytes,
        *,
        path: str,
        peers: Sequence[Address] = (),
        web_seeds: Sequence[str] = (),
        have: bool = False,
        have_pieces: Collection[int] = (),
    ) -> SegmentKey: ...

    def add_whole(  # noqa: D102
        self,
        blob: str,
        layout: Layout,
        hashes: bytes,
        *,
        path: str,
        name: str = "",
        seeding: bool,
        after_restart: bool = False,
    ) -> WholeKey: ...

    def remove(self, key: Key) -> None: ...  # noqa: D102

    def add_peer(self, key: Key, peer: Address) -> None: ...  # noqa: D102

    def renew_web_seed(self, key: Key, failed: str, url: str | None = None) -> None: ...  # noqa: D102

    def allow(self, addresses: Iterable[str]) -> None: ...  # noqa: D102

    def deny(self, addresses: Iterable[str]) -> None: ...  # noqa: D102

    def hang_up(self, addresses: Iterable[str]) -> None: ...  # noqa: D102

    def arrived(self, key: Key) -> dict[str, int]: ...  # noqa: D102

    def owed(self, key: Key) -> dict[Address, tuple[int, int]]: ...  # noqa: D102
