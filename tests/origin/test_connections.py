"""Connections to an origin: which one a request gets, what may be read of it, and when it is given up."""

import socket
import threading
from contextlib import contextmanager, suppress

import httpx
import pytest

from dfly.origin.connections import Connections

CLOSE = None
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


class Scripted:
    """A server on loopback: a list of answers for each connection that it accepts. `CLOSE` ends one; `asked` are the requests."""

    def __init__(self, *scripts):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/file"
        self.asked: list[bytes] = []
        self._scripts = scripts
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        for script in self._scripts:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed before we came to it
            # whoever hangs up on us may do so in the middle
            with connection, suppress(ConnectionError):
                self._serve(connection, script)

    def _serve(self, connection, script):
        connection.settimeout(30)
        for answer in script:
            if answer is CLOSE:
                return
            request = b""
            while b"\r\n\r\n" not in request:
                part = connection.recv(65536)
                if not part:
                    return
                request += part
            self.asked.append(request)
            connection.sendall(answer)
        while connection.recv(65536):
            pass

    @property
    def over(self):
        """Wait until every script has been played and every connection has been closed by its client."""
        self._thread.join(30)
        return not self._thread.is_alive()

    def close(self):
        self._listener.close()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@contextmanager
def talking(*scripts, clock=Clock(), **given):  # noqa: B008 - nobody changes it where it is shared
    server = Scripted(*scripts)
    transport = Connections(context=pytest.fail, keepalive=30.0, clock=clock, **given)
    with httpx.Client(transport=transport, trust_env=False, timeout=30) as client:
        yield server, client
    server.close()


@pytest.mark.parametrize(
    "answer",
    [
        KEPT,
        b"HTTP/1.1 200 OK\r\nContent-Length: 04\r\nContent-Length: 04\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n3\r\nody\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + KEPT,
    ],
    ids=["length", "length-twice", "chunks", "hints"],
)
def test_a_connection_serves_one_request_after_the_other(answer):
    with talking([answer, answer, KEPT]) as (server, client):
        assert [client.get(server.url).content for _ in range(3)] == [b"body"] * 3
        client.close()
        assert server.over


def test_a_long_body_comes_whole_and_leaves_the_connection_usable():
    content = bytes(range(256)) * 8192
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
    with talking([head + content, KEPT]) as (server, client):
        assert client.get(server.url).content == content
        assert client.get(server.url).content == b"body"
        client.close()
        assert server.over


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["head", "204", "304", "empty"],
)
def test_an_answer_without_a_body_leaves_the_connection_usable(method, answer):
    with talking([answer, KEPT]) as (server, client):
        assert client.request(method, server.url).content == b""
        assert client.get(server.url).content == b"body"
        client.close()
        assert server.over


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody and more than it promised",
    ],
    ids=["asked", "old", "surplus"],
)
def test_a_connection_that_cannot_go_on_is_not_used_again(answer):
    with talking([answer], [KEPT]) as (server, client):
        assert client.get(server.url).content == b"body"
        assert client.get(server.url).content == b"body"
        client.close()
        assert server.over


def test_a_body_that_is_closed_before_its_end_takes_the_connection_with_it():
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 999
    with talking([long], [KEPT]) as (server, client):
        with client.stream("GET", server.url) as response:
            assert next(response.iter_raw()).startswith(b"x")
        assert client.get(server.url).content == b"body"
        client.close()
        assert server.over


def test_an_idle_connection_is_given_up_in_time(clock):
    with talking([KEPT], [KEPT], clock=clock) as (server, client):
        client.get(server.url)
        clock.now += 31
        assert client.get(server.url).content == b"body"
        client.close()
        assert server.over


def test_an_idle_connection_that_the_server_has_closed_is_not_used(clock):
    with talking([KEPT, CLOSE], [KEPT], clock=clock) as (server, client):
        wire = client.get(server.url).extensions["network_stream"].get_extra_info("socket")
        assert wire.recv(1, socket.MSG_PEEK) == b""  # until the server has closed
        clock.now += 1
        assert client.post(server.url).content == b"body"
        client.close()
        assert server.over


@pytest.mark.parametrize(
    "body", [b"Content-Length: 9\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n9\r\nbody"], ids=["length", "chunks"]
)
def test_a_body_cut_short_is_an_error(body):
    cut = pytest.raises(httpx.RemoteProtocolError, match="peer closed connection")
    with talking([b"HTTP/1.1 200 OK\r\n" + body, CLOSE]) as (server, client), cut:
        client.get(server.url)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
    ids=["no-http", "two-lengths", "negative", "endless-head"],
)
def test_what_is_no_answer_is_an_error(answer):
    with talking([answer, CLOSE]) as (server, client), pytest.raises(httpx.RemoteProtocolError):
        client.get(server.url)


def test_a_server_that_says_nothing_is_an_error():
    with (
        talking([b"", CLOSE]) as (server, client),
        pytest.raises(httpx.RemoteProtocolError, match="without sending a response"),
    ):
        client.get(server.url)


def test_a_server_that_takes_too_long_is_an_error():
    with (
        talking([b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"]) as (server, client),
        pytest.raises(httpx.ReadTimeout),
    ):
        client.get(server.url, timeout=0.01)


def test_nobody_listening_is_an_error():
    with talking() as (server, client):
        server.close()
        with pytest.raises(httpx.ConnectError):
            client.get(server.url)


def test_a_header_with_a_line_break_is_not_sent():
    with talking([KEPT]) as (server, client):
        with pytest.raises(httpx.LocalProtocolError):
            client.get(server.url, headers={"X-Token": "a\r\nX-Other: b"})
        assert server.over
        assert server.asked == []


def test_a_body_goes_out_as_it_is_made():
    with talking([KEPT]) as (server, client):
        assert client.put(server.url, content=iter([b"one", b"", b"two"])).content == b"body"
        client.close()
        assert server.over
        assert b"transfer-encoding: chunked" in server.asked[0].lower()


def test_only_web_addresses_are_asked():
    with talking() as (_, client), pytest.raises(httpx.UnsupportedProtocol):
        client.get("gopher://127.0.0.1/file")


def test_closing_closes_connections_that_are_in_use():
    with talking([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody"]) as (server, client):
        response = client.send(client.build_request("GET", server.url), stream=True)
        client.close()
        assert server.over
        response.close()
