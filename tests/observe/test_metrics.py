"""`/metrics` tells what happened, by the names that are written down, to those who may know."""

import json
import os
import re
from pathlib import Path

import httpx
import pytest
from aiohttp.test_utils import make_mocked_request

from dfly.backend import Secret
from dfly.config import Joining
from dfly.daemon.activity import Activity
from dfly.daemon.client import Daemon
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.durations import BOUNDS, Durations
from dfly.errors import AccessDenied
from dfly.events import BytesArrived
from dfly.plugins import Plugins
from dfly.seed.access import Access
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.seed.watching.counts import believable
from dfly.seed.watching.families import FAMILIES, told_by
from dfly.seed.watching.metrics import scrapers
from dfly.testing.swarm import Node, Telling
from dfly.version import VERSION
from dfly.wire import Report
from tests.swarm_e2e.files import MIB, SEGMENT, some_bytes
from tests.swarm_e2e.origin import Origin

from .reading import metrics, until, value

FILES = {"model.bin": some_bytes(2 * SEGMENT + MIB), "a.json": b"a", "b.json": b"bb"}
SIZE = sum(map(len, FILES.values()))
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
def daemon(tmp_path):
    """Start a node daemon over an origin; gives where it answers."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(origin, **settings):
            config = NodeConfig(
                data_dir=str(tmp_path / "node"),
                socket=str(tmp_path / "run" / "dfly.sock"),
                listen=("127.0.0.1", 0),
                **{"joining": Joining(interface="127.0.0.1"), **settings},
            )
            return stack.enter_context(NodeDaemon(config, plugins=Plugins(extra=[origin.backend])).running())

        yield start


def get(origin, where, output):
    """What a dfget with that daemon reports."""
    plugins = Plugins(extra=[origin.backend])
    return Node("memory://model", output, recursive=True, plugins=plugins, lender=Daemon(where.socket)).done()


def test_a_seed_peer_tells_what_came_and_what_went(swarm, web):
    cluster = swarm(Origin(FILES))
    reports = [node.done().sources for node in cluster.several(3, "memory://model", joining={"seed_time": 0.0})]
    client = web(cluster.url)
    text = until(lambda: client.get("/metrics").text, lambda text: value(text, "dfly_task_duration_seconds_count") == 3)
    assert value(text, "dfly_received_bytes_total", source="hub") == SIZE
    assert value(text, "dfly_sent_bytes_total", to="node") == cluster.sent()
    assert value(text, "dfly_control_sent_bytes_total") > 0
    for source in ("peer", "seed-peer"):
        assert value(text, "dfly_nodes_received_bytes_total", source=source) == sum(r.get(source, 0) for r in reports)
    assert value(text, "dfly_segments_published_total") >= 4
    assert value(text, "dfly_blobs_total", outcome="complete") == 2
    assert value(text, "dfly_cache_requests_total", result="miss") == 2
    assert value(text, "dfly_tasks") == 1
    assert value(text, "dfly_resolve_duration_seconds_count") == 3
    assert value(text, "dfly_ready") == 1


def test_a_seed_peer_that_has_it_all_tells_of_hits(swarm, web):
    origin = Origin(FILES)
    cluster = swarm(origin)
    cluster.node("memory://model", joining={"seed_time": 0.0}).done()
    again = swarm(Origin(FILES), data="other")
    client = web(again.url)
    again.node("memory://model", joining={"seed_time": 0.0}, name="first").done()
    # another selection of the same content is another task
    again.node("memory://model", joining={"seed_time": 0.0}, name="second", include=("*.bin",)).done()
    text = client.get("/metrics").text
    assert value(text, "dfly_cache_requests_total", result="hit") == 1
    assert value(text, "dfly_cache_blobs") >= 0


def test_an_error_is_counted_by_its_class(swarm, web):
    cluster = swarm(Origin(FILES))
    cluster.node("memory://nobody").error()
    text = web(cluster.url).get("/metrics").text
    assert value(text, "dfly_errors_total", kind="NotFound") >= 1


def test_a_node_daemon_tells_where_its_bytes_came_from(daemon, web, tmp_path):
    origin = Origin(FILES)
    where = daemon(origin)
    get(origin, where, tmp_path / "one")
    get(origin, where, tmp_path / "two")
    text = web(where.url).get("/metrics").text
    assert value(text, "dfly_received_bytes_total", source="hub") == SIZE
    assert value(text, "dfly_received_bytes_total", source="cache") == SIZE
    assert value(text, "dfly_sent_bytes_total", to="dfget") == 2 * SIZE
    assert value(text, "dfly_cache_requests_total", result="miss") == 3
    assert value(text, "dfly_cache_requests_total", result="hit") == 3
    assert value(text, "dfly_segments_verified_total") >= 3
    assert value(text, "dfly_cache_blobs") == 3
    assert value(text, "dfly_cache_bytes") >= SIZE
    assert value(text, "dfly_task_duration_seconds_count") == 2
    assert value(text, "dfly_tasks") == 0
    assert "dfly_cache_limit_bytes" not in metrics(text)
    with httpx.Client(transport=httpx.HTTPTransport(uds=where.socket), timeout=60) as client:
        assert value(client.get("http://node/metrics").text, "dfly_sent_bytes_total", to="dfget") == 2 * SIZE


def test_a_node_daemon_in_a_swarm_tells_seed_peers_and_peers_apart(swarm, daemon, web, tmp_path):
    origin = Origin(FILES)
    cluster = swarm(origin)
    where = daemon(
        origin,
        joining=Joining(seed_peers=(cluster.url,), interface="127.0.0.1", back_to_source=False),
        cache_size=1 << 40,
    )
    report = get(origin, where, tmp_path / "one")
    text = web(where.url).get("/metrics").text
    assert report.sources == {"seed-peer": SIZE}
    assert value(text, "dfly_received_bytes_total", source="seed-peer") == SIZE
    assert value(text, "dfly_received_bytes_total", source="hub") == 0
    assert value(text, "dfly_rings") == 1
    assert value(text, "dfly_cache_limit_bytes") == 1 << 40
    # and others take it from there
    cluster.node("memory://model", joining={"seed_time": 0.0, "back_to_source": False}).done()
    until(
        lambda: web(where.url).get("/metrics").text,
        lambda text: value(text, "dfly_sent_bytes_total", to="peer") > 0,
    )


# What is told at all


@pytest.fixture
def exposed(swarm, daemon, web):
    """What both processes tell, by role: names of families with their kind and labels."""
    origin = Origin({"a": b"a"})
    told = {"seed-peer": swarm(origin).url, "node": daemon(origin, cache_size=1 << 40).url}
    return {role: web(url).get("/metrics").text for role, url in told.items()}


@pytest.mark.parametrize("role", ["seed-peer", "node"])
def test_what_is_exposed_is_what_is_declared(exposed, role):
    kinds = dict(re.findall(r"^# TYPE (dfly_\S+) (\w+)$", exposed[role], re.MULTILINE))
    assert kinds == {family.name: family.kind for family in told_by(role)}
    for name, rows in metrics(exposed[role]).items():
        if name.startswith("dfly_"):
            family = next(f for f in FAMILIES if re.fullmatch(f"{f.name}(_bucket|_sum|_count|_created)?", name))
            for labels in rows:
                assert {label for label, _ in labels} - {"le"} == set(family.labels), name
    assert "process_cpu_seconds_total" in exposed[role]


def test_names_follow_the_conventions():
    for family in FAMILIES:
        assert family.name.startswith("dfly_")
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        if "duration" in family.name:
            assert family.name.endswith("_seconds")
        assert not re.search("milli|kilo|mega|minute|percent|_ratio", family.name)


def test_no_label_can_name_a_source_a_node_or_a_secret():
    labels = {label for family in FAMILIES for label in family.labels}
    assert labels <= {"source", "to", "kind", "outcome", "result", "version", "role"}


def test_every_metric_is_in_the_docs_and_none_that_is_not():
    rows = re.findall(r"^\| `(dfly_\w+)` \| (\w+) \| (.*?) \| (.*?) \| (.*?) \|$", DOCS.read_text(), re.MULTILINE)
    written = {name: (kind, labels, who, means) for name, kind, labels, who, means in rows}
    assert written == {
        f.name: (
            f.kind,
            ", ".join(f"`{label}`" for label in f.labels),
            ", ".join(sorted(f.roles, reverse=True)),
            f.means,
        )
        for f in FAMILIES
    }


# Who may read them


def asks(check, *, remote, token=""):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = make_mocked_request("GET", "/metrics", headers=headers).clone(remote=remote)
    try:
        check(request)
    except AccessDenied:
        return False
    return True


def test_others_than_this_machine_need_the_cluster_token():
    check = scrapers(Access(cluster_token=Secret("cluster"), operator_token=Secret("operator")))
    assert asks(check, remote="127.0.0.1")
    assert asks(check, remote="::1")
    assert asks(check, remote="10.0.0.1", token="cluster")
    assert asks(check, remote="10.0.0.1", token="operator")
    assert not asks(check, remote="10.0.0.1")
    assert not asks(check, remote="10.0.0.1", token="other")


def test_where_nodes_need_no_token_scrapers_need_none_either():
    assert asks(scrapers(Access()), remote="10.0.0.1")


def test_an_address_of_its_own_answers_metrics_and_health_and_nothing_else(tmp_path, web):
    config = SeedPeerConfig(
        data_dir=str(tmp_path / "seed"),
        listen=("127.0.0.1", 0),
        metrics_listen=("127.0.0.1", 0),
        cluster_token=Secret("cluster"),
    )
    peer = SeedPeer(config, plugins=Plugins())
    with peer.running() as url:
        client = web(peer.metrics_url)
        assert peer.metrics_url != url
        assert value(client.get("/metrics").text, "dfly_ready") == 1
        assert client.get("/healthz").json() == {"ok": True}
        assert client.get("/readyz").json() == {"ready": True}
        for path in ("/v1/stats", "/v1/operator/status", "/ui", "/v1/plugins", "/"):
            assert client.get(path).status_code == 404


def test_a_daemons_address_of_its_own_does_the_same(daemon, web):
    where = daemon(Origin({"a": b"a"}), metrics_listen=("127.0.0.1", 0))
    client = web(where.metrics)
    assert value(client.get("/metrics").text, "dfly_ready") == 1
    assert client.get("/readyz").json() == {"ready": True}
    assert client.get("/v1/status").status_code == 404


def test_two_seed_peers_in_one_process_tell_two_things(swarm, web):
    one, other = swarm(Origin({"a": b"a"})), swarm(Origin({"a": b"a"}), data="other")
    one.node("memory://model", joining={"seed_time": 0.0}).done()
    assert value(web(one.url).get("/metrics").text, "dfly_received_bytes_total", source="hub") == 1
    assert value(web(other.url).get("/metrics").text, "dfly_received_bytes_total", source="hub") == 0


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1e9", "*/*", "text/plain; version=x;;"])
def test_whatever_a_scraper_says_it_accepts_it_gets_plain_text(exposed, swarm, web, accept):
    answer = web(swarm(Origin({"a": b"a"}), data="third").url).get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert metrics(answer.text)


def test_durations_are_counted_up_to_each_bound():
    some = Durations()
    for seconds in (0.005, 0.0051, 4000.0):
        some.took(seconds)
    found = some.cumulative()
    assert len(found) == len(BOUNDS) + 1
    assert found[:2] == [1, 2]
    assert found[-2:] == [2, 3]


def test_what_a_node_says_it_took_is_believed_within_reason():
    said = {"peer": 1 << 62, "seed-peer": -5, "hub": 7, "<b>nonsense</b>": 5}
    assert dict(believable(Report(node="n", sources=said))) == {"hub": 7}


def test_what_several_errands_hear_of_has_happened_once():
    activity, heard = Activity(), []
    listeners = [activity.before(heard.append) for _ in range(3)]
    for event in (BytesArrived(path="a", bytes=5, source="peer"), BytesArrived(path="a", bytes=5, source="peer")):
        for listener in listeners:
            listener(event)
    assert activity.received == {"peer": 10}
    assert len(heard) == 6


@pytest.mark.parametrize("role", ["seed-peer", "node"])
def test_dfdaemon_takes_the_address_as_a_flag(tmp_path, web, role):
    argv = ["--metrics-listen", "127.0.0.1:0", "--data-dir", tmp_path / "data"]
    argv += ["--seed-peer", "--listen", "127.0.0.1:0"] if role == "seed-peer" else ["--socket", tmp_path / "run" / "s"]
    daemon = Telling("dfdaemon", *argv, env=os.environ)
    try:
        assert daemon.stderr is not None
        said = map(json.loads, daemon.stderr)
        where = next(url for line in said if (url := line.get("metrics" if role == "node" else "url")))
        daemon.lines_until(lambda line: line.startswith("dfdaemon:"))
        assert value(web(where).get("/metrics").text, "dfly_build_info", version=VERSION, role=role) == 1
    finally:
        daemon.end()
