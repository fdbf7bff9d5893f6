"""Private snapshots: for callers whose own token the hub accepts, and only while it does."""

import contextlib
import hashlib
import threading

import httpx
import pytest
from tests.claims import claiming
from tests.security.conftest import FILES

from dfly.backend import Secret
from dfly.errors import NotFound, OriginUnavailable
from dfly.packs import Freight
from dfly.wire import TICKET_HEADER, Ask, Blob, Failed, Hello, Resolved, Segment, decode_message

GOOD, BAD = {"X-Dfly-Option-memory-token": "good"}, {"X-Dfly-Option-memory-token": "bad"}


def test_only_a_token_that_the_hub_accepts_gets_a_private_snapshot(seed):
    peer = seed(token="good")
    assert peer.ask(headers=GOOD).status_code == 200
    for headers in (BAD, None):
        answer = peer.ask(headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "AccessDenied")


def test_a_revoked_token_works_for_the_cache_time_and_not_after(seed, monkeypatch):
    peer = seed(token="good")
    assert peer.ask(headers=GOOD).status_code == 200
    peer.backend.hub.token = "another"
    assert peer.ask(headers=GOOD).status_code == 200
    monkeypatch.setattr("dfly.seed.catalog.ADMITTED", 0.0)
    assert peer.ask(headers=GOOD).status_code == 403


def test_the_id_of_a_private_task_is_told_only_to_those_who_were_let_in(seed):
    peer = seed(token="good")
    task = peer.task(headers=GOOD)
    prefix, _, seal = task.partition("-")
    assert len(seal) >= 32
    stats = peer.client.get("/v1/stats")
    assert [row["task"] for row in stats.json()["tasks"]] == [prefix]
    assert seal not in stats.text
    for guess in (prefix, f"{prefix}-", f"{prefix}-{'0' * len(seal)}"):
        answer = peer.client.get(f"/v1/snapshots/{guess}/events", params={"node": "n", "port": "1"})
        assert answer.status_code == 404


def test_the_log_of_a_seed_peer_opens_no_private_task(seed, capfd):
    peer = seed(token="good")
    seal = peer.task(headers=GOOD).partition("-")[2]
    told = capfd.readouterr()
    assert "task.opened" in told.out + told.err
    assert seal not in told.out + told.err


@contextlib.contextmanager
def listening(peer, resolved, *, node="n", **more):
    """The lines of an event stream, decoded."""
    headers = {TICKET_HEADER: more.get("ticket", resolved.ticket)}
    query = {"node": node, "port": "1"}
    with peer.client.stream("GET", f"/v1/snapshots/{resolved.task}/events", params=query, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield (decode_message(line.encode()) for line in answer.iter_lines())


def until(lines, kind):
    return next(line for line in lines if isinstance(line, kind))


def test_the_id_of_a_private_task_opens_no_stream_without_a_ticket(seed):
    peer = seed(token="good")
    resolved = Resolved.decode(peer.ask(headers=GOOD).content)
    assert len(resolved.ticket) == 32
    for ticket in ("", resolved.ticket[:-1], "0" * 32):
        with (
            pytest.raises(AssertionError, match="ask for the snapshot again"),
            listening(peer, resolved, ticket=ticket),
        ):
            pass
    with listening(peer, resolved) as lines:
        assert until(lines, Hello).grant
    assert Resolved.decode(seed().ask().content).ticket == ""


def test_a_ticket_is_shown_to_no_other_node(seed):
    resolved = Resolved.decode(seed(token="good").ask(headers=GOOD).content)
    assert resolved.ticket not in Ask(url="memory://tiny", known=resolved).encode().decode()
    assert resolved.ticket not in repr(resolved)


def test_a_revoked_token_ends_an_open_stream_when_its_grant_is_to_be_renewed(seed, monkeypatch):
    monkeypatch.setattr("dfly.seed.catalog.ADMITTED", 0.0)
    peer = seed(token="good", grant_lifetime=1)
    resolved = Resolved.decode(peer.ask(headers=GOOD).content)
    with listening(peer, resolved) as lines:
        assert [until(lines, Hello).grant, until(lines, Hello).grant]
        peer.backend.hub.token = "another"
        told = until(lines, Failed)
        assert (told.blob, told.error) == ("", "AccessDenied")
        assert list(lines) == []
    with pytest.raises(AssertionError, match="ask for the snapshot again"), listening(peer, resolved):
        pass
    assert peer.ask(headers=GOOD).status_code == 403


def test_whose_token_still_opens_it_goes_on_when_another_ones_is_revoked(seed, monkeypatch):
    monkeypatch.setattr("dfly.seed.catalog.ADMITTED", 0.0)
    peer = seed(token="good", grant_lifetime=1)
    real, revoked = peer.backend.authorize, set()
    monkeypatch.setattr(peer.backend, "authorize", lambda self, s: self.settings.token not in revoked and real(self, s))
    one = Resolved.decode(peer.ask(headers=GOOD).content)
    peer.backend.hub.token = "other"
    other = Resolved.decode(peer.ask(headers={"X-Dfly-Option-memory-token": "other"}).content)
    assert (one.task, one.ticket != other.ticket) == (other.task, True)
    revoked.add(Secret("good"))
    with listening(peer, one) as refused, listening(peer, other, node="m") as kept:
        assert until(refused, Failed).error == "AccessDenied"
        assert [until(kept, Hello).grant, until(kept, Hello).grant]


def test_a_hub_that_cannot_be_asked_has_not_revoked_anything(seed, monkeypatch):
    monkeypatch.setattr("dfly.seed.catalog.ADMITTED", 0.0)
    peer = seed(token="good", grant_lifetime=600)
    resolved = Resolved.decode(peer.ask(headers=GOOD).content)
    asked = []

    def down(_self, snapshot):
        asked.append(snapshot)
        raise OriginUnavailable("the hub is down")

    monkeypatch.setattr(peer.backend, "authorize", down)
    with listening(peer, resolved) as lines:
        expires = until(lines, Hello).expires
        assert asked == []
        monkeypatch.setattr(web_seed_of(peer), "now", lambda: expires - 1)
        until(lines, Hello)
    assert asked


def web_seed_of(peer):
    return next(r.handler.__self__ for r in peer.app.router.routes() if "{grant}" in r.resource.canonical)


SECRET = bytes(range(256)) * 4096
LIAR = {"X-Dfly-Option-liar-token": "own"}


def refuse():
    raise NotFound("there is no such file", kind="file")


def had_of(peer, resolved):
    """All that whoever is let in to this can get: how it ends, the segments it is told of, and what it can read of any id."""
    told, (blob,) = [], Freight.of(resolved.snapshot, task=resolved.task).sizes()
    with listening(peer, resolved) as lines:
        grant = until(lines, Hello).grant
        for line in lines:
            told.append(line)
            if isinstance(line, Failed) or (isinstance(line, Blob) and line.state == "complete"):
                break
    got = []
    for name in (blob, f"sha256-{hashlib.sha256(SECRET).hexdigest()}"):
        hashes = peer.client.get(f"/v1/snapshots/{resolved.task}/hashes/{name}")
        got += [answer.content for answer in (read(peer, grant, name), hashes) if answer.is_success]
    return told[-1], [line.hashes for line in told if isinstance(line, Segment)], got


@pytest.mark.parametrize("token", [None, "own"], ids=["public", "private"])
@pytest.mark.parametrize(("does", "ends"), [(None, "IntegrityError"), (refuse, "NotFound")], ids=["lies", "refuses"])
def test_a_source_that_claims_a_private_digest_is_not_given_the_content(seed, token, does, ends):
    liar = claiming(SECRET, token=token)
    liar.before_bytes = staticmethod(does or liar.before_bytes)
    peer = seed(token="good", files={"secret.bin": SECRET}, plugins=[liar])
    end, right, got = had_of(peer, Resolved.decode(peer.ask(headers=GOOD).content))
    assert (end.state, got[0]) == ("complete", SECRET[:10])
    end, segments, got = had_of(peer, Resolved.decode(peer.ask("liar://bait", headers=LIAR).content))
    assert (end.error, got) == (ends, [])
    assert set(segments).isdisjoint(right)


def test_nor_is_it_brought_for_it_with_what_opens_it_to_another_caller(seed):
    liar, both = claiming(SECRET), threading.Event()

    def wait_and_refuse():
        assert both.wait(30)
        refuse()

    liar.before_bytes = staticmethod(wait_and_refuse)
    peer = seed(token="good", files={"secret.bin": SECRET}, plugins=[liar])
    stolen = Resolved.decode(peer.ask("liar://bait").content)
    honest = Resolved.decode(peer.ask(headers=GOOD).content)
    both.set()
    assert had_of(peer, honest)[0].state == "complete"
    end, segments, got = had_of(peer, stolen)
    assert (end.error, segments, got) == ("NotFound", [], [])


def test_another_source_that_has_it_delivers_it_once_and_revisions_of_one_share_it(seed):
    peer = seed(token="good", files={"secret.bin": SECRET})
    hub = peer.backend.hub
    hub.commit("mirror", {"copied.bin": SECRET})
    for url, hub_bytes in (("memory://tiny", 1), ("memory://mirror", 2), ("memory://mirror", 2)):
        assert had_of(peer, Resolved.decode(peer.ask(url, headers=GOOD).content))[0].state == "complete"
        assert peer.client.get("/v1/stats").json()["hub_bytes"] == hub_bytes * len(SECRET)
    later = hub.commit("mirror", {"copied.bin": SECRET, "more.bin": b"x" * (1 << 20)})
    assert had_of_all(peer, Resolved.decode(peer.ask(f"memory://mirror@{later}", headers=GOOD).content))
    assert peer.client.get("/v1/stats").json()["hub_bytes"] == 2 * len(SECRET) + (1 << 20)


def had_of_all(peer, resolved):
    """Whether all blobs come."""
    lacking = set(Freight.of(resolved.snapshot, task=resolved.task).sizes())
    with listening(peer, resolved) as lines:
        for line in lines:
            if isinstance(line, Blob) and line.state == "complete":
                lacking.discard(line.blob)
            if not lacking or isinstance(line, Failed):
                break
    return not lacking


@pytest.fixture
def granted(seed):
    """A seed peer with a grant of one task: (peer, grant, the task's only blob)."""
    peer = seed(grant_lifetime=600, files={"model.bin": FILES["model.bin"]})
    peer.backend.hub.commit("other", {"other.bin": b"x" * (1 << 20)})
    resolved = Resolved.decode(peer.ask().content)
    other = Resolved.decode(peer.ask("memory://other").content)
    with peer.client.stream(
        "GET", f"/v1/snapshots/{resolved.task}/events", params={"node": "n", "port": "1"}
    ) as stream:
        lines = stream.iter_lines()
        hello = decode_message(next(lines).encode())
        assert isinstance(hello, Hello)
        blobs = [next(iter(Freight.of(r.snapshot, task=r.task).sizes())) for r in (resolved, other)]
        while b'"complete"' not in next(lines).encode():
            pass
    return peer, hello, *blobs


def read(peer, grant, blob):
    return peer.client.get(f"/v1/blobs/{grant}/{blob}", headers={"Range": "bytes=0-9"})


def test_a_grant_opens_its_own_task_only(granted):
    peer, hello, blob, other = granted
    assert read(peer, hello.grant, blob).content == FILES["model.bin"][:10]
    assert read(peer, hello.grant, other).status_code == 404


def test_a_changed_grant_opens_nothing(granted):
    peer, hello, blob, _ = granted
    for at in range(0, len(hello.grant), 7):
        forged = hello.grant[:at] + ("A" if hello.grant[at] != "A" else "B") + hello.grant[at + 1 :]
        assert read(peer, forged, blob).status_code == 403


def test_a_grant_expires(granted, monkeypatch):
    peer, hello, blob, _ = granted
    for later, status in ((-1, 206), (1, 403)):
        monkeypatch.setattr(web_seed_of(peer), "now", lambda later=later: hello.expires + later)
        assert read(peer, hello.grant, blob).status_code == status


def test_a_grant_of_another_seed_peer_opens_nothing(granted, seed):
    _, hello, blob, _ = granted
    stranger = seed(files={"model.bin": FILES["model.bin"]})
    stranger.task()
    assert isinstance(stranger.client, httpx.Client)
    assert read(stranger, hello.grant, blob).status_code == 403
