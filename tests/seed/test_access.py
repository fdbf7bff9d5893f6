import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly.backend import Secret
from dfly.errors import AccessDenied
from dfly.seed.access import Access, is_loopback
from dfly.seed.joining import Join
from dfly.wire import WireError

ROUTES = [
    ("POST", "/v1/snapshots"),
    ("GET", "/v1/snapshots/t/events"),
    ("POST", "/v1/snapshots/t/report"),
    ("GET", "/v1/snapshots/t/hashes/b"),
    ("GET", "/v1/plugins"),
    ("GET", "/v1/stats"),
    ("GET", "/v1/nothing"),
    ("GET", "/"),
    ("DELETE", "/v1/stats"),
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    import contextlib

    from dfly.plugins import Plugins
    from dfly.seed.peer import SeedPeer
    from dfly.seed.settings import SeedPeerConfig

    from .mirrors import HandMirror

    root = tmp_path_factory.mktemp("seed")
    config = SeedPeerConfig(data_dir=str(root), listen=("127.0.0.1", 0), cluster_token=Secret("wörd"))
    peer = SeedPeer(
        config,
        open_mirror=lambda _, listener, __: contextlib.closing(HandMirror(root / "b", listener)),
        plugins=Plugins(extra=[]),
    )
    with peer.running() as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("said", [None, "Bearer wrong", "Bearer", "wörd", "Basic wörd"])
def test_every_route_asks_for_the_cluster_token(guarded, method, path, said):
    headers = {} if said is None else {"Authorization": said.encode()}
    answer = guarded.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"] == "AccessDenied"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_cluster_token_opens_every_route(guarded, method, path):
    answer = guarded.request(method, path, headers={"Authorization": "Bearer wörd".encode()})
    assert answer.status_code != 401


def test_health_needs_no_token_and_the_web_seed_has_its_own(guarded):
    assert guarded.get("/healthz").status_code == 200
    assert guarded.get("/readyz").status_code == 200
    assert guarded.get("/v1/blobs/grant/blob").status_code == 403


def check(access, url, **more):
    try:
        access.check_source(url, **more)
    except AccessDenied:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("hf://org/model", True),
        ("hf://org/model@main/a/b", True),
        ("hf://other/model", False),
        ("https://good.example/a", True),
        ("https://good.example/a?sig=1", True),
        ("https://good.example@evil.example/a", False),
        ("https://evil.example/https://good.example/a", False),
        ("https://good.example/x/../../a", False),
        ("https://good.example/x/%2e%2e/a", False),
        ("HF://org/model", False),
    ],
)
def test_allow_source_is_a_list_of_globs(url, allowed):
    assert check(Access(allow_source=("hf://org/*", "https://good.example/*")), url) is allowed


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://user@169.254.169.254/",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://metadata.google.internal./",
        "http://0.0.0.0/",
    ],
)
def test_link_local_and_metadata_addresses_are_never_fetched_from(url):
    assert not check(Access(), url)
    assert not check(Access(), "hf://org/model", endpoints=(url,))


def test_loopback_and_names_may_be_fetched_from():
    assert check(Access(), "http://127.0.0.1:8000/a")
    assert check(Access(), "http://hub.example/a")


def test_an_endpoint_of_the_callers_choice_does_not_get_round_allow_source():
    assert check(Access(), "hf://org/model", endpoints=("https://mirror.example",))
    assert not check(Access(allow_source=("hf://org/*",)), "hf://org/model", endpoints=("https://mirror.example",))


@pytest.mark.parametrize(
    ("secure", "insecure", "remote", "allowed"),
    [
        (False, False, "10.0.0.9", False),
        (False, False, "fd00::9", False),
        (False, False, None, False),
        (False, False, "127.0.0.1", True),
        (False, False, "::1", True),
        (False, False, "::ffff:127.0.0.1", True),
        (True, False, "10.0.0.9", True),
        (False, True, "10.0.0.9", True),
    ],
)
def test_hub_tokens_over_plain_http_come_from_this_machine_only(secure, insecure, remote, allowed):
    access = Access(insecure=insecure)
    if allowed:
        access.check_secret(secure=secure, remote=remote)
    else:
        with pytest.raises(AccessDenied) as refused:
            access.check_secret(secure=secure, remote=remote)
        assert "--tls-cert" in refused.value.hint


@pytest.mark.parametrize(
    ("option", "status"),
    [("Memory-Token", 403), ("memory-revision", 404), ("unknown-thing", 403)],
)
def test_a_token_in_plain_text_from_another_machine_is_refused_and_a_plain_option_is_not(
    start, monkeypatch, option, status
):
    # this machine is the only one a test has: let it look like another
    for module in ("access", "given"):
        monkeypatch.setattr(f"dfly.seed.{module}.is_loopback", lambda remote: False)
    answer = start().ask(headers={"X-Dfly-Option-" + option: "s3cret"})
    assert answer.status_code == status
    assert "s3cret" not in answer.json()["message"] or status == 404


def test_insecure_takes_it(start, monkeypatch):
    monkeypatch.setattr("dfly.seed.given.is_loopback", lambda remote: False)
    assert start(insecure=True).ask(headers={"X-Dfly-Option-memory-token": "x"}).status_code == 200


def test_a_private_snapshot_goes_to_good_tokens_only(start):
    peer = start(token="good")
    good, bad = {"X-Dfly-Option-memory-token": "good"}, {"X-Dfly-Option-memory-token": "bad"}
    assert peer.ask(headers=good).status_code == 200
    for headers in (bad, None):
        answer = peer.ask(headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "AccessDenied")


@given(st.dictionaries(st.sampled_from(["node", "port", "advertise", "location", "after"]), st.text(max_size=80)))
def test_no_query_breaks_the_reader(query):
    try:
        join = Join.read(query, remote="10.0.0.1")
    except WireError:
        return
    assert all(0 < port < 65536 for _, port in join.addresses)


def test_a_node_is_reached_where_it_was_seen_and_where_it_says():
    query = {"node": "n", "port": "7", "advertise": "1.2.3.4,5.6.7.8:9,[fd00::1]:8,fd00::2", "location": "z/r"}
    join = Join.read(query, remote="::ffff:10.0.0.1")
    assert join.addresses == (("10.0.0.1", 7), ("1.2.3.4", 7), ("5.6.7.8", 9), ("fd00::1", 8), ("fd00::2", 7))


def test_a_node_that_does_not_listen_has_no_address():
    assert Join.read({"node": "n", "port": "0", "advertise": "1.2.3.4"}, remote="10.0.0.1").addresses == ()


def test_loopback_is_told_from_the_rest():
    assert is_loopback("127.9.9.9")
    assert not is_loopback("localhost")
    assert not is_loopback("10.0.0.1")
