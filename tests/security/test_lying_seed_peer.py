"""A seed peer that lies costs time, never credentials, never a file outside of the output, never a hang."""

import hashlib
import io
import json

import attrs
import pytest
from tests.security.conftest import CANARY, FILES, HASTY

import dfly
from dfly.backend import Secret, option
from dfly.config import Joining
from dfly.errors import Cancelled, DflyError, OutputError, SwarmError, UnsafePath
from dfly.node.fetch import fetch
from dfly.node.revival import revive
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
from dfly.values import LAYOUT_VERSION, Digest, Entry, Snapshot
from dfly.wire import Hello, Resolved, WireError, snapshot_to_json

ASKED = "/v1/snapshots"


def entry(path="model.bin", data=b"12345678", *, url="memory://tiny@x/model.bin", **more):
    digest = Digest("sha256", hashlib.sha256(data).hexdigest())
    return Entry(**{"path": path, "size": len(data), "url": url, "identity": url, "digests": (digest,), **more})


def resolved(*entries, **more):
    snapshot = Snapshot(**{"source": "memory://tiny@x", "name": "tiny", "entries": entries, "revision": "x", **more})
    return Resolved(task="0" * 32, snapshot=snapshot)


def tampered(**fields):
    """The answer with some fields of its snapshot replaced, which our own values would not allow."""
    said = json.loads(resolved(entry()).encode())
    said["snapshot"] |= fields
    return json.dumps(said).encode()


def row(**fields):
    names = ("path", "size", "url", "identity", "digests", "validator")
    return [
        [
            fields.get(name, value)
            for name, value in zip(names, snapshot_to_json(resolved(entry()).snapshot)["entries"][0], strict=True)
        ]
    ]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("dfly.node.listening.random.uniform", lambda low, high: 0.0)


@pytest.fixture
def hub():
    """A hub whose backend notes for which URLs it was asked for bytes."""
    base = memory_backend({"tiny": FILES, "secret": {"diary.txt": b"private words"}}, token="good")
    read = []

    class Noting(base):
        def get(self, entry, start, stop):
            read.append(entry.url)
            return super().get(entry, start, stop)

    Noting.read = read
    return Noting


def test_going_back_to_the_source_a_node_asks_it_and_does_not_believe_the_seed_peer(liar, get, hub, tmp_path):
    """It names another repository, which only this node's token opens, and then leaves."""
    liar.says[ASKED] = 200, resolved(entry("model.bin", b"private words", url="memory://secret/diary.txt")).encode()
    liar.says["/events"] = 500, b"{}"
    events = []
    get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}}, events=events, back=True, patience=0.3)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == FILES
    assert hub.read
    assert not any("secret" in url for url in hub.read)
    assert any("other files than the seed peer told" in getattr(e, "message", "") for e in events)


@pytest.mark.parametrize("reads", ["open", "pipe"])
def test_nor_does_who_reads_one_file_of_it(liar, hub, reads):
    liar.says[ASKED] = 200, resolved(entry("model.bin", b"private words", url="memory://secret/diary.txt")).encode()
    liar.says["/events"] = 500, b"{}"
    given = {
        "plugins": Plugins(extra=[hub]),
        "options": {"memory": {"token": "good"}},
        "joining": Joining(seed_peers=(liar.url,), patience=0.3),
        "patience": HASTY,
    }
    if reads == "open":
        with dfly.open("memory://tiny/model.bin", **given) as file, pytest.raises(dfly.Changed):
            file.read()
    else:
        sink = io.BytesIO()
        with pytest.raises(dfly.Changed):
            fetch("memory://tiny/model.bin", "-", stdout=sink, **given)
        assert sink.getvalue() == b""
    assert hub.read == []


def test_going_back_to_the_source_even_honest_entries_are_the_sources_own(liar, get, hub, tmp_path):
    honest = hub(hub.options(token=Secret("good")), None).list("memory://tiny")
    twisted = [attrs.evolve(e, url="memory://secret/diary.txt", identity="x") for e in honest.entries]
    liar.says[ASKED] = 200, Resolved(task="0" * 32, snapshot=attrs.evolve(honest, entries=twisted)).encode()
    liar.says["/events"] = 500, b"{}"
    get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}}, back=True, patience=0.3)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == FILES
    assert not any("secret" in url for url in hub.read)


def test_no_token_goes_where_a_seed_peer_points_a_web_link(liar, get, tmp_path):
    from dfly.testing.origin import FaultyOrigin
    from dfly_http import dfly_backends

    (web,) = dfly_backends()
    with FaultyOrigin() as honest, FaultyOrigin() as thief:
        honest.add("model.bin", b"12345678")
        thief.add("model.bin", b"12345678")
        evil = entry(url=thief.url_of("model.bin"))
        liar.says[ASKED] = 200, resolved(evil, source=thief.url_of("model.bin")).encode()
        liar.says["/events"] = 500, b"{}"
        options = {"http": {"header": (f"X-Api-Key: {CANARY}",)}}
        fetch(
            honest.url_of("model.bin"),
            str(tmp_path / "model.bin"),
            options=options,
            plugins=Plugins(extra=[web]),
            joining=Joining(seed_peers=(liar.url,), settle=0.0, seed_time=0, interface="127.0.0.1", patience=0.3),
            patience=HASTY,
            timeout=60,
        )
        assert honest.requests[0].headers["x-api-key"] == CANARY
        assert thief.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "a\0b",
        "a\\..\\b",
        "C:\\x",
        ".dfly/x",
        "a/.dfly/x",
        ".DFLY/x",
        "",
        ".",
        "a//b",
        "x" * 300,
    ],
)
def test_no_path_of_a_snapshot_leaves_the_output(liar, get, hub, tmp_path, path):
    liar.says[ASKED] = 200, tampered(entries=row(path=path))
    with pytest.raises(UnsafePath):
        get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"layout": LAYOUT_VERSION + 1},
        {"layout": str(LAYOUT_VERSION)},
        {"entries": row(size=-1)},
        {"entries": row(size=1 << 60)},
        {"entries": row(size=10**400)},
        {"entries": row(size=1.5)},
        {"entries": row(digests=[["sha256", "../../../../etc/passwd"]])},
        {"entries": row(digests=[["../sha256", "0" * 64]])},
        {"entries": row(digests=[["sha256"]])},
        {"entries": row(digests=["sha256"])},
        {"entries": [[]]},
        {"entries": {}},
        {"public": 1},
    ],
)
def test_a_snapshot_that_does_not_fit_its_schema_is_refused(liar, get, hub, fields):
    liar.says[ASKED] = 200, tampered(**fields)
    with pytest.raises(WireError):
        get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}})


def test_a_size_that_no_disk_holds_is_refused_before_the_first_byte(liar, get, hub):
    liar.says[ASKED] = 200, tampered(entries=row(size=(1 << 60) - 1))
    with pytest.raises(OutputError, match="are needed"):
        get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}})


@pytest.mark.parametrize("task", ["../../evil", "x?y", "x\r\nHost: evil", "@evil.example", "", "x" * 600, "ü"])
def test_a_task_id_that_would_change_the_request_is_refused(liar, get, hub, task):
    said = json.loads(resolved(entry()).encode())
    liar.says[ASKED] = 200, json.dumps(said | {"task": task}).encode()
    with pytest.raises(WireError):
        get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}})
    assert all(path == ASKED for _, path, _, _ in liar.heard)


def hello(**fields):
    line = json.loads(Hello(epoch="e", grant="g", expires=1.0).encode())
    return json.dumps(line | fields).encode() + b"\n"


@pytest.mark.parametrize(
    "lines",
    [
        hello(expires=10**400),
        hello(heartbeat=1e400),
        hello(grant="../x?y"),
        hello(seed_peers=["evil.example"]),
        b'{"t":"ring","neighbours":[["evil.example",1]]}\n',
        b'{"t":"ring","neighbours":[["10.0.0.1",0]]}\n',
        b'{"t":"segment","blob":"b","index":0,"size":-1,"hashes":""}\n',
        b'{"t":"blob","blob":"b","state":"complete","size":-5}\n',
        b'{"t":' * 10000 + b"\n",
        b"\xff\xfe\n",
        b"x" * (1 << 20) + b"x" * 100,
    ],
)
def test_a_line_that_does_not_fit_its_schema_ends_the_stream_and_not_the_node(liar, get, hub, lines):
    liar.says[ASKED] = 200, resolved(entry()).encode()
    liar.says["/events"] = 200, lines
    events = []
    get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}}, events=events, back=True, patience=0.3)
    assert any("going back to the source" in getattr(e, "message", "") for e in events)


def test_an_answer_without_end_is_cut_off(liar, get, hub, monkeypatch):
    monkeypatch.setattr("dfly.wire.LONGEST_SNAPSHOT", 10_000)
    liar.says[ASKED] = 200, b" " * 20_000 + resolved(entry()).encode()
    with pytest.raises(WireError, match="more than 10000 bytes"):
        get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"error": "Cancelled", "message": "x"}',
        b'{"error": "SystemExit", "message": 1}',
        b"[" * 100_000,
    ],
)
def test_an_error_that_is_none_is_still_said(liar, get, hub, body):
    liar.says[ASKED] = 500, body
    with pytest.raises(SwarmError):
        get("memory://tiny", liar.url, hub, options={"memory": {"token": "good"}})


@pytest.mark.parametrize("name", ["Cancelled", "Exception", "annotations", "errno", "", "__class__"])
def test_a_seed_peer_cannot_raise_what_is_not_its_to_raise(name):
    error = revive(name, "m", "h")
    assert isinstance(error, DflyError)
    assert not isinstance(error, Cancelled)


def test_a_stand_in_is_sent_no_secret(liar, hub):
    """It is another user's machine: whoever was in the ring can be named."""
    import httpx

    from dfly.node.control import SeedPeer
    from dfly.node.succession import Seat, Succession
    from dfly.wire import Ask

    with httpx.Client(trust_env=False) as client:
        gone = SeedPeer(url="http://127.0.0.1:1", client=client, secret=frozenset({"memory-token"}))
        succession = Succession(
            seat=Seat(seed_peer=gone, resolved=resolved(entry())),
            candidates=(gone,),
            ask=Ask(url="memory://tiny"),
            options={"memory-token": CANARY, "memory-revision": "r1"},
            peer_at=lambda address: attrs.evolve(gone, url=liar.url),
            stand_in=lambda address: gone,
            own_port=0,
            settle=0.0,
            stand_ins=(("127.0.0.1", 9),),
        )
        succession.again()
    (asked,) = {json.dumps([path, headers, str(body)]) for _, path, headers, body in liar.heard}
    assert "r1" in asked
    assert CANARY not in asked


def test_an_option_that_must_not_travel_stays_here():
    from dfly.node.travelling import travelling

    @attrs.frozen
    class Options:
        token: Secret | None = option(help="t", secret=True, travels=True)
        key: Secret | None = option(help="k", secret=True, travels=False)

    backend = type("B", (memory_backend({}),), {"options": Options})
    assert travelling(backend, Options(token=Secret("a"), key=Secret("b"))) == {"memory-token": "a"}
