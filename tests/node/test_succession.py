"""Where a task goes on when its seed peer is gone: real sockets that answer, hang up, or are not there."""

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from dfly.errors import SwarmError
from dfly.node.control import SeedPeer, nobody_listens
from dfly.node.succession import Seat, Succession
from dfly.values import Snapshot
from dfly.wire import Ask, Resolved

RESOLVED = Resolved(task="t", snapshot=Snapshot("s", "n", ()))
#: Seconds after which a search counts as endless, and what would be waited for much longer.
PATIENCE, FOREVER = 30, 3600.0


class Answers(ThreadingHTTPServer):
    """A seed peer that knows the task; it hangs up on the first questions, as many as `hangs_up` says."""

    def __init__(self, port=0, *, hangs_up=0):
        self.hangs_up, self.asked = hangs_up, 0
        super().__init__(("127.0.0.1", port), Answer)


class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.asked += 1
        if self.server.asked <= self.server.hangs_up:
            self.close_connection = True
            return
        body = RESOLVED.encode()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def cluster():
    """Seed peers at real ports, and the succession of a task that is at the first of them."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(trust_env=False))

        class Cluster:
            def answers(self, **how):
                server = stack.enter_context(Answers(**how))
                threading.Thread(target=server.serve_forever, args=(0.01,)).start()
                stack.callback(server.shutdown)
                return server

            def refuses(self):
                """A port at which nobody listens, and that nobody else is given meanwhile."""
                held = stack.enter_context(contextlib.closing(socket.socket()))
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.bind(("127.0.0.1", 0))
                return held

            def peer(self, port):
                return SeedPeer(url=f"http://127.0.0.1:{port}", client=client)

            def succession(self, *ports, settle=FOREVER):
                peers = tuple(map(self.peer, ports))
                return Succession(
                    seat=Seat(seed_peer=peers[0], resolved=RESOLVED),
                    candidates=peers,
                    ask=Ask(url="memory://n"),
                    options={},
                    peer_at=lambda address: self.peer(address[1]),
                    stand_in=lambda address: self.peer(address[1]),
                    own_port=0,
                    settle=settle,
                )

        yield Cluster()


class Search:
    """A search in a thread."""

    def __init__(self, succession):
        self.succession, self.found = succession, []
        self.thread = threading.Thread(target=lambda: self.found.append(succession.again()))
        self.thread.start()

    def seat(self):
        self.thread.join(PATIENCE)
        endless = self.thread.is_alive()
        self.succession.left.set()
        self.thread.join()
        assert not endless
        return self.found[0]


def port_of(held):
    return held.getsockname()[1]


def test_a_seed_peer_that_refuses_connections_is_left_at_once(cluster):
    gone, other = cluster.refuses(), cluster.answers()
    succession = cluster.succession(port_of(gone), other.server_port)
    seat = Search(succession).seat()
    assert seat.seed_peer.url.endswith(f":{other.server_port}")
    assert succession.seat is seat
    assert other.asked == 1


def test_one_that_hangs_up_is_asked_again_before_the_next(cluster):
    hasty, other = cluster.answers(hangs_up=2), cluster.answers()
    seat = Search(cluster.succession(hasty.server_port, other.server_port)).seat()
    assert seat.seed_peer.url.endswith(f":{hasty.server_port}")
    assert (hasty.asked, other.asked) == (3, 0)


def test_where_all_refuse_the_first_that_is_back_is_gone_on_with(cluster):
    gone, other = cluster.refuses(), cluster.refuses()
    search = Search(cluster.succession(port_of(gone), port_of(other)))
    back = cluster.answers(port=port_of(other))
    assert search.seat().seed_peer.url.endswith(f":{back.server_port}")


def test_where_all_refuse_a_stand_in_has_its_turn_when_they_had_time_to_come_back(cluster):
    gone, other, node = cluster.refuses(), cluster.refuses(), cluster.answers()
    succession = cluster.succession(port_of(gone), port_of(other), settle=0.3)
    succession.stand_ins = (("127.0.0.1", node.server_port),)
    assert Search(succession).seat().seed_peer.url.endswith(f":{node.server_port}")


def test_a_node_that_cannot_stand_in_for_whatever_reason_leaves_it_to_the_next(cluster):
    node = cluster.answers()
    succession = cluster.succession(port_of(cluster.refuses()), settle=0.1)

    def full(_):
        raise OSError(28, "No space left on device")

    succession.own_port, succession.stand_in = 1, full
    succession.stand_ins = (("127.0.0.1", 1), ("127.0.0.1", node.server_port))
    assert Search(succession).seat().seed_peer.url.endswith(f":{node.server_port}")


def test_leaving_ends_the_search(cluster):
    succession = cluster.succession(port_of(cluster.refuses()))
    search = Search(succession)
    succession.left.set()
    assert search.seat() is None


def test_only_a_refused_connection_says_that_nobody_listens(cluster):
    errors = []
    for port in (port_of(cluster.refuses()), cluster.answers(hangs_up=1).server_port):
        with pytest.raises(SwarmError) as raised:
            cluster.peer(port).resolve(Ask(url="memory://n"), {})
        errors.append(raised.value)
    assert [nobody_listens(error) for error in errors] == [True, False]
    assert not nobody_listens(SwarmError("told by a seed peer"))
