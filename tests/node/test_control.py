"""A node's client: which seed peer, what may travel to it, over which way, and what its errors become here."""

import json
import math

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly import errors
from dfly.backend import Backend, Secret, option
from dfly.errors import AccessDenied, DflyError, IntegrityError, NotFound, RateLimited, SwarmError, UsageError
from dfly.node.control import SeedPeer, Whereabouts, in_order
from dfly.node.revival import revive
from dfly.node.travelling import secret_options, travelling
from dfly.seed.answers import refuse
from dfly.values import Snapshot
from dfly.wire import Ask, Heartbeat, Report, Resolved, WireError

URLS = [f"http://seed{n}:65001" for n in range(5)]
RESOLVED = Resolved(task="t", snapshot=Snapshot("s", "n", ())).encode()
ME = Whereabouts(node="me", port=1)


def every_error():
    found, todo = [], [DflyError]
    while todo:
        todo += (kind := todo.pop()).__subclasses__()
        if kind.__module__ == errors.__name__:
            found.append(kind)
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_of_the_seed_peer_is_the_same_error_here(kind):
    error = revive(kind.__name__, "what happened", "what to do")
    if kind is errors.Cancelled:
        assert type(error) is SwarmError  # only this machine's user cancels
        return
    assert type(error) is kind
    assert (error.message, error.hint) == ("what happened", "what to do")
    assert error.exit_code == kind.exit_code
    assert str(error) == "what happened\nwhat to do"


@pytest.mark.parametrize("name", ["", "DflyErrors", "annotations", "errno", "__doc__", "Exception", "ClassVar"])
def test_a_name_that_is_no_error_is_a_swarm_error(name):
    assert type(revive(name, "what happened", "")) is SwarmError


def test_an_error_has_its_own_fields_whether_or_not_they_were_told():
    told = revive("NotFound", "m", "h", {"kind": "revision", "url": "g://h", "message": "other"})
    assert isinstance(told, NotFound)
    assert (told.kind, told.url, told.message) == ("revision", "g://h", "m")
    untold = revive("IntegrityError", "m", "h")
    assert isinstance(untold, IntegrityError)
    assert (untold.path, untold.expected) == ("", "")
    limited = revive("RateLimited", "m", "")
    assert isinstance(limited, RateLimited)
    assert limited.after is None
    assert limited.hint == RateLimited.usual_hint


@pytest.mark.parametrize(
    "error",
    [
        NotFound("no such file", kind="file", url="g://h/f"),
        AccessDenied("closed", hint="ask there", url="g://h"),
        RateLimited("slowly", after=7.0),
        IntegrityError("f", algorithm="sha256", expected="1", actual="2"),
        errors.NotAFile("g://h"),
        errors.UnknownScheme("gopher", ("hf",)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_one_side_refuses_with_the_other_side_raises(error):
    answer = refuse(error)
    peer = answering(lambda _: said(answer.status, answer.body))
    with pytest.raises(type(error)) as raised:
        peer.resolve(Ask(url="g://h"), {})
    assert vars(raised.value) == vars(error)


class Chunks(httpx.SyncByteStream):
    def __init__(self, chunks):
        self.chunks = chunks

    def __iter__(self):
        yield from self.chunks


def said(status, *chunks) -> httpx.Response:
    return httpx.Response(status, stream=Chunks(chunks))


def answering(answer, url="http://127.0.0.1:1", **more) -> SeedPeer:
    return SeedPeer(url=url, client=httpx.Client(transport=httpx.MockTransport(answer)), **more)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"NotFound"}', b"[" * 100_000])
def test_a_refusal_without_words_names_the_status(body):
    with pytest.raises(SwarmError, match="answered 502"):
        answering(lambda _: said(502, body)).report("t", Report(node="me"))


def test_a_seed_peer_that_is_not_there_is_a_swarm_error_with_a_hint():
    def gone(request):
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(SwarmError, match="cannot be reached: refused") as raised:
        answering(gone).hashes("t", "b")
    assert "--seed-peer" in raised.value.hint


def test_options_travel_as_headers_and_never_in_the_url():
    seen = []

    def answer(request):
        seen.append(request)
        return said(200, RESOLVED)

    peer = answering(answer, cluster_token=Secret("cluster"), secret=frozenset({"gopher-token"}))
    peer.resolve(Ask(url="gopher://hole"), {"gopher-token": "secret"})
    (request,) = seen
    assert request.headers["X-Dfly-Option-gopher-token"] == "secret"
    assert request.headers["Authorization"] == "Bearer cluster"
    assert "secret" not in str(request.url)
    assert b"secret" not in request.content


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://seed:1", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("http://seed:1", False),
        ("http://10.0.0.1:1", False),
        ("http://127.0.0.1.example.org:1", False),
        ("http://localhost.example.org:1", False),
    ],
)
def test_secrets_go_over_private_ways_only(url, private):
    def resolve(options, **more):
        peer = answering(lambda _: said(200, RESOLVED), url, **more)
        return peer.resolve(Ask(url="gopher://hole"), options).task

    secret = {"secret": frozenset({"gopher-token"})}
    assert resolve({"gopher-endpoint": "e"}, **secret) == "t"
    assert resolve({"gopher-token": "s"}, insecure=True, **secret) == "t"
    for options, more in (({"gopher-token": "s"}, secret), ({}, {"cluster_token": Secret("c")})):
        if private:
            assert resolve(options, **more) == "t"
        else:
            with pytest.raises(UsageError, match="plain HTTP") as raised:
                resolve(options, **more)
            assert "https://" in raised.value.hint


@attrs.frozen
class GopherOptions:
    token: Secret | None = option(help="a token", secret=True, travels=True)
    own_key: Secret | None = option(help="a key of this machine", secret=True)
    endpoint: str = option("https://gopher.example", help="where")
    names: tuple[str, ...] = option(help="several", repeated=True)


class Gopher(Backend):
    schemes = ("gopher",)
    options = GopherOptions

    def stat(self, url):
        raise NotImplementedError

    def list(self, url):
        raise NotImplementedError


def test_what_may_travel_does_and_nothing_else():
    given = GopherOptions(token=Secret("t"), own_key=Secret("k"), endpoint="https://mirror.example")
    assert travelling(Gopher, given) == {"gopher-token": "t", "gopher-endpoint": "https://mirror.example"}
    assert secret_options(Gopher) == {"gopher-token", "gopher-own-key"}


def test_what_is_not_given_or_is_as_usual_does_not_travel():
    assert travelling(Gopher, GopherOptions()) == {}


@given(st.permutations(URLS), st.text(max_size=20))
def test_all_nodes_try_the_seed_peers_in_one_order_however_they_were_named(urls, repository):
    assert in_order(urls, repository) == in_order(URLS, repository)
    assert sorted(in_order(urls, repository)) == sorted(URLS)


def test_repositories_are_spread_over_the_seed_peers():
    first = [in_order(URLS, f"gopher://hole/{n}")[0] for n in range(500)]
    fair = 500 / len(URLS)
    assert all(abs(first.count(url) - fair) < 4 * math.sqrt(fair) for url in URLS)


def test_with_a_seed_peer_gone_only_its_repositories_move():
    for n in range(50):
        order = in_order(URLS, f"gopher://hole/{n}")
        assert in_order([url for url in URLS if url != order[0]], f"gopher://hole/{n}") == order[1:]


def test_lines_are_put_together_however_they_are_cut():
    lines = b"".join(Heartbeat(waiting_for=f"{n}").encode() for n in range(4)) + b'{"t":"of a later release"}\n'
    for step in (1, 7, len(lines)):
        chunks = [lines[at : at + step] for at in range(0, len(lines), step)]
        peer = answering(lambda _, chunks=chunks: said(200, *chunks))
        with peer.events("t", ME) as stream:
            assert [message.waiting_for for message in stream.messages] == ["0", "1", "2", "3"]


def test_a_line_without_an_end_is_refused():
    peer = answering(lambda _: said(200, *[b"x" * (1 << 19)] * 3))
    with peer.events("t", ME) as stream, pytest.raises(WireError, match="endless"):
        next(stream.messages)


def test_a_stream_that_is_refused_raises_what_was_said():
    words = json.dumps({"error": "NotFound", "message": "no such task", "hint": "ask again"}).encode()
    peer = answering(lambda _: said(404, words))
    with pytest.raises(NotFound, match="no such task"), peer.events("t", ME):
        pass
