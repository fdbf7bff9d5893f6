"""What goes wrong is said, and does no harm."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.swarm.conftest import Blob, Node, WebSeed, blob_of

from dfly.errors import OutputError, SwarmError
from dfly.layout import KIB, MIB, Layout
from dfly.swarm import (
    AlertsDropped,
    PeerBanned,
    PieceFailed,
    SegmentKey,
    SegmentReadable,
    StorageFailed,
    Swarm,
    SwarmEvent,
    SwarmSettings,
    WebSeedFailed,
)


def test_a_corrupt_peers_bytes_are_never_readable(nodes: Callable[..., Node]) -> None:
    blob = blob_of(Layout(1).segment_length)
    liar, honest, node = nodes(), nodes(), nodes()
    liar.hold(blob, bytes(len(blob.data)))
    honest.hold(blob)
    liar.add(blob, 0, have=True)
    key = node.add(blob, 0, peers=[liar.address])
    node.wait_kind(PieceFailed)
    banned = node.wait_kind(PeerBanned)
    assert (banned.key, banned.address, banned.web_seed) == (key, liar.address, False)
    assert banned.piece in blob.layout.segment_pieces(0)
    node.swarm.deny([liar.host])
    assert SegmentReadable(key) not in node.drain()
    honest.add(blob, 0, have=True, peers=[node.address])
    node.swarm.add_peer(key, honest.address)
    node.wait_segment(blob, 0)
    assert node.read(0, len(blob.data)) == blob.data
    assert node.swarm.stats().wasted > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    """A folder on a disk of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield str(folder)
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_named_before_a_byte_is_asked_for(small_disk: str, nodes: Callable[..., Node]) -> None:
    blob = blob_of(2 * MIB)
    node = nodes()
    node.path = f"{small_disk}/data"
    with pytest.raises(OutputError, match="the disk is full") as caught:
        node.add(blob, 0)
    assert "free some space" in str(caught.value)
    assert node.swarm.keys() == []


def test_a_segment_that_has_begun_has_its_room(small_disk: str, nodes: Callable[..., Node]) -> None:
    blob = blob_of(768 * KIB)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    node.path = f"{small_disk}/data"
    key = node.add(blob, 0)
    with pytest.raises(OSError, match="No space left"):
        Path(small_disk, "filler").write_bytes(bytes(512 * KIB))
    holder.add(blob, 0, have=True)
    node.swarm.add_peer(key, holder.address)
    node.wait_segment(blob, 0)
    assert node.read(0, len(blob.data)) == blob.data


def test_a_segment_that_is_there_takes_no_room(small_disk: str, nodes: Callable[..., Node]) -> None:
    blob = blob_of(2 * MIB)
    node = nodes()
    node.path = f"{small_disk}/data"
    node.add(blob, 0, have=True)
    assert not Path(node.path).exists()


def test_where_the_file_system_keeps_no_room_the_writing_finds_out(nodes: Callable[..., Node]) -> None:
    blob = blob_of(MIB)
    node = nodes()
    os.symlink("/dev/null", node.path)
    assert node.add(blob, 0) in node.swarm


def test_a_file_that_cannot_be_written_is_named(nodes: Callable[..., Node]) -> None:
    blob = blob_of(MIB)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    os.symlink("/dev/full", node.path)
    holder.add(blob, 0, have=True)
    key = node.add(blob, 0, peers=[holder.address])
    failed = node.wait_kind(StorageFailed)
    assert failed.key == key
    assert failed.errno
    assert node.path in failed.reason


def test_a_refusing_web_seed_is_asked_again_only_when_renewed(
    nodes: Callable[..., Node], web_seed: Callable[[Blob], WebSeed]
) -> None:
    blob = blob_of(MIB)
    seed = web_seed(blob)
    seed.refuse = 1
    node = nodes(interfaces=("127.0.0.1",))
    key = node.add(blob, 0, web_seeds=[seed.url])
    failed = node.wait_kind(WebSeedFailed)
    assert (failed.key, failed.url) == (key, seed.url)
    node.swarm.renew_web_seed(key, failed.url)
    node.wait_segment(blob, 0)
    assert node.swarm.arrived(key) == {"seed-peer": len(blob.data), "peer": 0}


def test_dropped_alerts_lose_no_segment(nodes: Callable[..., Node]) -> None:
    blob = blob_of(5 * Layout(1).segment_length)
    holder, node = nodes(), nodes(alert_queue=4)
    holder.hold(blob)
    slow = threading.Event()

    def hold_up(event: SwarmEvent) -> None:
        while not slow.wait(0.01):
            if holder.swarm.stats().uploaded >= len(blob.data):
                slow.set()

    node.on_event = hold_up
    for index in range(blob.layout.segments):
        holder.add(blob, index, have=True, peers=[node.address])
        node.add(blob, index, peers=[holder.address])
    for index in range(blob.layout.segments):
        node.wait_segment(blob, index)
    node.wait_kind(AlertsDropped)
    assert Path(node.path).read_bytes() == blob.data


def test_a_listener_that_fails_misses_nothing_later(nodes: Callable[..., Node]) -> None:
    blob = blob_of(600 * KIB)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    calls: list[SwarmEvent] = []

    def fail_first(event: SwarmEvent) -> None:
        calls.append(event)
        if len(calls) == 1:
            raise RuntimeError("broken")

    node.on_event = fail_first
    holder.add(blob, 0, have=True)
    node.add(blob, 0, peers=[holder.address])
    node.wait_segment(blob, 0)


def test_a_port_in_use_is_an_error(nodes: Callable[..., Node]) -> None:
    taken = nodes().swarm.port
    with pytest.raises(SwarmError, match=f"port {taken}"):
        Swarm(SwarmSettings(interfaces=("127.0.0.2",), listen_port=taken), on_event=lambda event: None)


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises((SwarmError, OSError)):
        Swarm(SwarmSettings(interfaces=("203.0.113.9",)), on_event=lambda event: None)


def test_a_closed_session_says_so_and_may_be_closed_again(nodes: Callable[..., Node]) -> None:
    node = nodes()
    node.swarm.close()
    node.swarm.close()
    with pytest.raises(SwarmError, match="closed"):
        node.add(blob_of(1), 0)


def test_unknown_torrents_are_key_errors(nodes: Callable[..., Node]) -> None:
    node = nodes()
    with pytest.raises(KeyError):
        node.swarm.remove(SegmentKey("nothing", 0))
