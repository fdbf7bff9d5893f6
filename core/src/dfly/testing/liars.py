"""Nodes that lie: they take part in the control plane as any node does, and serve what they like. For tests and benchmarks.

`Liar` only talks, `Corrupt` serves wrong bytes behind the right info hashes, `Silent` promises everything and sends nothing. All
report often and claim to hold whatever is published, so that a scheduler thinks well of them.

As a process, until it is terminated:

    python -m dfly.testing.liars corrupt --url scheme://… --seed-peer URL --address IP --folder DIR
"""

import argparse
import contextlib
import secrets
import signal
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from dfly import wire
from dfly.errors import DflyError
from dfly.layout import Layout
from dfly.node.control import SeedPeer, Whereabouts, in_order
from dfly.swarm import Swarm, SwarmSettings

#: Seconds that anything may take before a test has failed.
PATIENCE = 60.0
_REPORT, _REQUEST, _UNCHOKE, _BITFIELD = 0.2, 6, 1, 5
_HOMING = 20  # reports


class Liar:
    """A node at `address` in the task of `source`, which is one file. A context manager.

    `ring` has no members until it has been seated. `claims` are the segments that it says it holds, `accuses` the addresses
    that it says send wrong bytes.
    """

    def __init__(self, source: str, *, seed_peers: Sequence[str], address: str, port: int = 9) -> None:
        self.source, self.address = source, address
        self.ring = wire.Ring(members=0)
        self.claims: set[int] = set()
        self.accuses: tuple[wire.Address, ...] = ()
        self._me = Whereabouts(node=f"liar-{secrets.token_hex(4)}", port=port)
        transport = httpx.HTTPTransport(local_address=address)
        self._client = httpx.Client(transport=transport, trust_env=False, timeout=20)
        order = in_order(seed_peers, source.partition("@")[0])
        self._seed_peers = [SeedPeer(url=url, client=self._client) for url in order]
        self._news = threading.Condition()
        self._left = threading.Event()
        self._seat: tuple[SeedPeer, wire.Resolved] | None = None
        self._cut: Callable[[], None] = lambda: None
        self.blob, self.layout = self._resolve()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._report)]

    @property
    def node(self) -> str:
        """What it calls itself."""
        return self._me.node

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._left.set()
        self._cut()  # who listens would hear of it with the next heartbeat
        self._client.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(5)

    def segment(self, index: int, hashes: bytes) -> None:
        """A segment was published: a subclass does something about it."""

    def wait(self, wanted: Callable[[], bool]) -> None:
        """Until what was told makes `wanted` true; AssertionError where it does not."""
        with self._news:
            assert self._news.wait_for(wanted, PATIENCE), f"{self.address}: {self.ring}"

    def _resolve(self) -> tuple[str, Layout]:
        """Find a seed peer that answers. Raises its error where none does."""
        for number, peer in enumerate(self._seed_peers, start=1):
            try:
                resolved = peer.resolve(wire.Ask(url=self.source, fallback=number > 1), {})
            except DflyError:
                if number == len(self._seed_peers):
                    raise
            else:
                self._seat = peer, resolved
                (entry,) = resolved.snapshot.entries
                assert entry.blob is not None
                return entry.blob, Layout(entry.size or 0)
        raise AssertionError("no seed peer given")

    def _listen(self) -> None:
        while not self._left.is_set():
            # whatever goes wrong in a liar is not worth a word; it comes back as others do
            with contextlib.suppress(DflyError, httpx.HTTPError, RuntimeError, OSError):
                if self._seat is None:
                    self._resolve()
                self._hear()
            self._seat = None
            self._left.wait(0.5)

    def _hear(self) -> None:
        assert self._seat is not None
        peer, resolved = self._seat
        with peer.events(resolved.task, self._me, ticket=resolved.ticket) as events:
            self._cut = events.cut
            for message in events.messages:
                if isinstance(message, wire.Ring):
                    self.ring = message
                elif isinstance(message, wire.Segment):
                    self.segment(message.index, message.hashes)
                elif isinstance(message, wire.Blob) and message.state == "complete":
                    hashes = peer.hashes(resolved.task, message.blob)
                    for index in range(self.layout.segments):
                        pieces = self.layout.segment_pieces(index)
                        self.segment(index, hashes[20 * pieces.start : 20 * pieces.stop])
                with self._news:
                    self._news.notify_all()
                if self._left.is_set():
                    return

    def _go_home(self) -> None:
        """Follow the others to a seed peer that comes before the present one and is back."""
        seat = self._seat
        for peer in self._seed_peers if seat is not None else ():
            if seat is None or peer is seat[0]:
                return
            with contextlib.suppress(DflyError, httpx.HTTPError, RuntimeError):
                peer.resolve(wire.Ask(url=self.source), {})
                self._cut()
                return

    def _report(self) -> None:
        reports = 0
        while not self._left.wait(_REPORT):
            seat = self._seat
            if seat is None:
                continue
            reports += 1
            if reports % _HOMING == 0:
                self._go_home()
            held = {self.blob: tuple(sorted(self.claims))}
            with contextlib.suppress(DflyError, httpx.HTTPError, RuntimeError):
                seat[0].report(seat[1].task, wire.Report(node=self.node, held=held, bad_peers=self.accuses))


class Corrupt(Liar):
    """Serves nothing but zeros, from a file in `folder`."""

    def __init__(self, source: str, *, seed_peers: Sequence[str], address: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = str(folder / "zeros")
        self._swarm = Swarm(SwarmSettings(interfaces=(address,)), on_event=lambda event: None)
        self._lock = threading.Lock()
        self._closed = False
        super().__init__(source, seed_peers=seed_peers, address=address, port=self._swarm.port)
        with open(self._path, "wb") as file:
            file.truncate(self.layout.size)

    def segment(self, index: int, hashes: bytes) -> None:
        """Serve it wrongly, to whoever is near."""
        with self._lock:
            if self._closed or index in self.claims:
                return
            self.claims.add(index)
            near = [*self.ring.neighbours, *self.ring.admitted]
            self._swarm.allow(host for host, _ in near)
            self._swarm.add_segment(self.blob, self.layout, index, hashes, path=self._path, peers=near, have=True)

    def close(self) -> None:
        """Leave."""
        with self._lock:
            self._closed = True
        super().close()
        self._swarm.close()


class Silent(Liar):
    """Accepts every connection, says that it has everything and may be asked, and sends no byte of it.

    `requests` counts what it was asked for.
    """

    def __init__(self, source: str, *, seed_peers: Sequence[str], address: str) -> None:
        self.requests = 0
        self._listener = socket.create_server((address, 0))
        self._open: list[socket.socket] = []
        super().__init__(source, seed_peers=seed_peers, address=address, port=self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def segment(self, index: int, hashes: bytes) -> None:
        """Claim it."""
        self.claims.add(index)

    def close(self) -> None:
        """Leave."""
        super().close()
        self._listener.close()
        for peer in self._open:
            peer.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._open.append(peer)
                threading.Thread(target=self._promise, args=(peer,), daemon=True).start()

    def _promise(self, peer: socket.socket) -> None:
        """Speak the protocol as far as it costs nothing."""
        with contextlib.suppress(OSError), peer.makefile("rb") as stream:
            info_hash = stream.read(68)[28:48]
            own_id = b"-XX0000-" + self.address.ljust(12).encode()[:12]
            peer.sendall(b"\x13BitTorrent protocol" + bytes(8) + info_hash + own_id)
            bits = bytearray(-(-self.layout.pieces // 8))
            for piece in range(self.layout.pieces):
                bits[piece // 8] |= 0x80 >> piece % 8
            peer.sendall(struct.pack(">IB", 1 + len(bits), _BITFIELD) + bytes(bits) + struct.pack(">IB", 1, _UNCHOKE))
            while head := stream.read(4):
                body = stream.read(int.from_bytes(head, "big"))
                self.requests += body[:1] == bytes([_REQUEST])


def main(argv: Sequence[str] | None = None) -> None:
    """Lie until terminated."""
    parser = argparse.ArgumentParser(prog="python -m dfly.testing.liars", description="Take part in a swarm, and lie.")
    parser.add_argument("kind", choices=["corrupt", "silent"])
    parser.add_argument("--url", required=True, help="the source URL of one file")
    parser.add_argument("--seed-peer", action="append", required=True, metavar="URL")
    parser.add_argument("--address", required=True, help="the IP address to speak from")
    parser.add_argument("--folder", type=Path, required=True, help="for its files")
    given = parser.parse_args(argv)
    common: dict[str, Any] = {"seed_peers": given.seed_peer, "address": given.address}
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    liar = Silent(given.url, **common) if given.kind == "silent" else Corrupt(given.url, **common, folder=given.folder)
    with liar:
        stop.wait()


if __name__ == "__main__":
    main()
