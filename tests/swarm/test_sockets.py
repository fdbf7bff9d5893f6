"""The session's sockets: ports, TCP_NODELAY, open files."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from tests.swarm.conftest import Node, blob_of

from dfly.swarm import Listening, PeerConnected, Swarm, SwarmSettings
from dfly.swarm.listening import Ports, choose_ports, raise_file_limit
from dfly.swarm.nodelay import NoDelay


def no_delay(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def sockets_of(*ports: int) -> Iterator[socket.socket]:
    """Copies of this process's connected TCP sockets that have one of `ports` at either end."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as copy:
            if copy.type == socket.SOCK_STREAM and {copy.getsockname()[1], copy.getpeername()[1]} & set(ports):
                yield copy


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """A listening socket, a dialled one and the accepted one."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as dialled:
        accepted, _ = server.accept()
        with accepted:
            yield server, dialled, accepted


def test_both_ends_of_a_link_send_without_delay(nodes: Callable[..., Node]) -> None:
    blob = blob_of(1)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    holder.add(blob, 0, have=True)
    node.add(blob, 0, peers=[holder.address])
    node.wait_kind(PeerConnected)
    node.wait_segment(blob, 0)
    flags = [no_delay(sock) for sock in sockets_of(holder.swarm.port)]
    assert len(flags) == 2
    assert all(flags)


def test_a_socket_dialled_to_a_named_peer_is_found(pair: tuple[socket.socket, ...]) -> None:
    server, dialled, accepted = pair
    looker = NoDelay([])
    looker.look()
    assert not no_delay(dialled)
    looker.expect(server.getsockname())
    assert looker.waiting
    looker.look()
    assert not looker.waiting
    assert no_delay(dialled)
    assert not no_delay(accepted)


def test_other_peoples_sockets_are_left_alone(pair: tuple[socket.socket, ...]) -> None:
    _, dialled, accepted = pair
    looker = NoDelay([1])
    looker.expect(("127.0.0.1", 1))
    looker.scan()
    assert not no_delay(dialled)
    assert not no_delay(accepted)


def test_looks_are_spaced_and_none_is_lost(pair: tuple[socket.socket, ...]) -> None:
    server, dialled, _ = pair
    now = [0.0]
    looker = NoDelay([], interval=1.0, clock=lambda: now[0])
    looker.expect(("127.0.0.1", 1))
    looker.look()
    looker.expect(server.getsockname())
    looker.look()
    assert looker.waiting
    now[0] = 1.0
    # the socket was there at the first look already, but nobody had named it
    looker.look()
    assert no_delay(dialled)


def test_the_port_is_the_one_really_listened_on(nodes: Callable[..., Node]) -> None:
    node = nodes()
    assert node.wait_kind(Listening) == Listening(node.host, node.swarm.port)
    with socket.create_connection(node.address):
        pass


def test_all_addresses_share_one_port(nodes: Callable[..., Node]) -> None:
    node = nodes(interfaces=("127.0.0.2", "127.0.0.3"))
    for host in ("127.0.0.2", "127.0.0.3"):
        with socket.create_connection((host, node.swarm.port)):
            pass


@pytest.mark.parametrize("interfaces", [(), ("lo",)])
def test_a_session_on_all_addresses_or_a_device_is_reached_at_its_port(interfaces: tuple[str, ...]) -> None:
    with (
        Swarm(SwarmSettings(interfaces=interfaces), on_event=lambda event: None) as swarm,
        socket.create_connection(("127.0.0.1", swarm.port)),
    ):
        pass


def test_a_wanted_port_is_the_dialled_one() -> None:
    ports = choose_ports(7000, ("127.0.0.1",))
    assert ports.dialled == 7000
    assert ports.announced != 7000
    assert Ports(1, 2).listen_interfaces(("10.0.0.1", "fd00::1")) == "10.0.0.1:1,[fd00::1]:1,10.0.0.1:2,[fd00::1]:2"


def test_the_file_limit_is_raised_as_far_as_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        assert raise_file_limit(300) == min(300, hard)
        assert raise_file_limit(200) == min(300, hard)
        assert raise_file_limit(1 << 40) == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_libtorrent_is_loaded_only_for_a_session() -> None:
    code = "import sys, dfly.swarm; assert 'libtorrent' not in sys.modules; dfly.swarm.Swarm; assert 'libtorrent' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
