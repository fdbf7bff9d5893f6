"""Links: hosts reach each other and nothing else, at the speed that was asked for, until the cable is pulled."""

import errno
import selectors
import socket
import sys
from collections.abc import Callable
from functools import partial

import pytest

from dfly.testing.cluster import Cluster

from .conftest import Connect

pytestmark = pytest.mark.netns
Build = Callable[..., Cluster]
#: Bytes/s; so far apart that this process would have to stand still for seconds before the one looked like the other.
FAST, SLOW = 16e6, 1e5


def read_exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += source.recv(size - len(data))
    return data


def flood(pairs: list[tuple[socket.socket, socket.socket]], first: int) -> list[int]:
    """Send through all pairs as fast as they take it until pair 0 has delivered `first` bytes; what each delivered."""
    delivered = [0] * len(pairs)
    with selectors.DefaultSelector() as selector:
        for index, (near, far) in enumerate(pairs):
            near.setblocking(False)
            far.setblocking(False)
            selector.register(near, selectors.EVENT_WRITE, index)
            selector.register(far, selectors.EVENT_READ, index)
        while delivered[0] < first:
            ready = selector.select(60)
            assert ready, "no link moved a byte for 60 s"
            for key, mask in ready:
                assert isinstance(key.fileobj, socket.socket)
                if mask & selectors.EVENT_READ:
                    delivered[key.data] += len(key.fileobj.recv(1 << 16))
                else:
                    key.fileobj.send(bytes(1 << 14))
    return delivered


def test_two_hosts_talk(build: Build, connect: Connect) -> None:
    cluster = build(1)
    near, far = connect(cluster.nodes[0], cluster.hub)
    near.sendall(b"hello")
    assert read_exactly(far, 5) == b"hello"


def test_a_process_serves_at_its_host_s_address(build: Build) -> None:
    cluster = build(1)
    hub, node = cluster.hub, cluster.nodes[0]
    (hub.directory / "file").write_text("content")
    server = hub.popen([sys.executable, "-m", "http.server", "--bind", hub.address, "8000"])
    hub.wait_until_listening(8000, process=server)
    assert node.get(f"http://{hub.address}:8000/file") == b"content"


def test_there_is_no_route_out(build: Build) -> None:
    node = build(1).nodes[0]
    with pytest.raises(OSError, match="unreachable") as caught:
        node.call(partial(socket.create_connection, ("192.0.2.1", 80), timeout=60))
    assert caught.value.errno == errno.ENETUNREACH
    assert "default" not in node.run(["ip", "route"])


def test_two_clusters_with_the_same_addresses_never_meet(build: Build) -> None:
    one, other = build(1), build(1)
    assert one.hub.address == other.hub.address
    with one.hub.call(partial(socket.create_server, (one.hub.address, 8000))):
        with other.nodes[0].call(lambda: socket.socket()) as stranger:
            stranger.settimeout(60)
            with pytest.raises(ConnectionRefusedError):
                stranger.connect((other.hub.address, 8000))
        one.hub.wait_until_listening(8000)


@pytest.mark.parametrize("upload", [False, True], ids=["download", "upload"])
def test_a_slow_nic_moves_less_than_a_fast_one_meanwhile(build: Build, connect: Connect, upload: bool) -> None:
    cluster = build(2, nic=FAST)
    cluster.nodes[1].set_rate(SLOW)
    pairs = [connect(node, cluster.hub) if upload else connect(cluster.hub, node) for node in cluster.nodes]
    fast, slow = flood(pairs, 2_000_000)
    assert 0 < slow < fast / 3


def test_a_limit_is_lifted(build: Build) -> None:
    node = build(1, nic=1e6).nodes[0]
    assert "tbf" in node.run(["tc", "qdisc", "show", "dev", "eth0"])
    node.set_rate(None)
    assert "tbf" not in node.run(["tc", "qdisc", "show", "dev", "eth0"])


def test_the_thin_link_slows_only_what_crosses_it(build: Build, connect: Connect) -> None:
    cluster = build(2, nic=FAST, racks=[1, 1], thin=SLOW)
    near, far = flood([connect(cluster.seeds[0], node) for node in cluster.nodes], 2_000_000)
    assert 0 < far < near / 3
    assert far <= cluster.traffic()["rack1"].into < near


def test_racks_must_hold_all_nodes(build: Build) -> None:
    with pytest.raises(ValueError, match="do not add up to 3"):
        build(3, racks=[1, 1])


def test_what_was_sent_while_the_cable_was_out_arrives_when_it_is_back(build: Build, connect: Connect) -> None:
    cluster = build(2)
    near, far = connect(cluster.hub, cluster.nodes[0])
    witness, seen = connect(cluster.hub, cluster.nodes[1])
    cluster.nodes[0].cut()
    before = cluster.nodes[0].bytes_in()
    near.sendall(b"first")
    witness.sendall(b"second")
    assert read_exactly(seen, 6) == b"second"
    assert cluster.nodes[0].bytes_in() == before
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    cluster.nodes[0].mend()
    far.settimeout(60)
    assert read_exactly(far, 5) == b"first"


def test_every_byte_is_counted_once_at_each_end(build: Build, connect: Connect) -> None:
    cluster = build(2)
    near, far = connect(cluster.nodes[0], cluster.nodes[1])
    with cluster.link_use(60) as use:
        near.sendall(bytes(100_000))
        read_exactly(far, 100_000)
    first, last = (sample.links for sample in use.samples)
    assert 100_000 <= last["node0"].out - first["node0"].out < 120_000
    assert 100_000 <= last["node1"].into - first["node1"].into < 120_000
    assert last["node1"].out - first["node1"].out < 20_000
    assert last["hub"].out == cluster.hub.bytes_out() < 2000


def test_clients_are_counted_by_host(build: Build, connect: Connect) -> None:
    cluster = build(2)
    _, far = connect(cluster.nodes[0], cluster.hub)
    assert len(cluster.hub.clients(far.getsockname()[1])) == 1
    assert cluster.hub.clients(1) == set()
