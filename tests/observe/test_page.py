"""Who may see the page, what of it, and that nothing in it is anything but text."""

import base64
import json
from types import SimpleNamespace

import attrs
import httpx
import pytest

from dfly.backend import Secret
from dfly.packs import Freight
from dfly.seed.seals import ClusterSeals
from dfly.seed.task import Task
from dfly.seed.topology.scheduler import Scheduler
from dfly.seed.watching import drawing
from dfly.seed.watching.counts import Counts
from dfly.seed.watching.picture import MOST_NODES, BlobPicture, NodePicture, Paces, Picture, TaskPicture, cells, runs
from dfly.values import Entry
from dfly.wire import Report
from tests.swarm_e2e.files import MIB, SEGMENT, some_bytes
from tests.swarm_e2e.origin import Origin

from .reading import Html, drawn_cells, pictures, segments, until

CLUSTER, OPERATORS = Secret("cluster"), Secret("operator:with colon")
HOSTILE = "<img src=x onerror=alert(1)>\u202e\"'&"


def basic(password, user="anybody"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def private(swarm):
    """A seed peer with a private snapshot open, and both tokens."""
    origin = Origin({"model.bin": some_bytes(MIB)}, token="s3cret")
    cluster = swarm(origin, cluster_token=CLUSTER, operator_token=OPERATORS)
    options = {"memory": {"token": "s3cret"}}
    cluster.node("memory://model", options=options, joining={"cluster_token": "cluster", "seed_time": 0.0}).done()
    return cluster


@pytest.mark.parametrize("path", ["/ui", "/ui/state", "/ui/events"])
def test_a_browser_without_the_token_is_asked_for_it(private, web, path):
    client = web(private.url)
    for headers in ({}, basic(""), basic("cluste"), basic("clusterr"), {"Authorization": "Basic %%%"}):
        with client.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 401, headers
            assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_either_token_opens_it_as_a_password_or_as_nodes_send_it(private, web):
    client = web(private.url)
    for token in ("cluster", OPERATORS.reveal()):
        for headers in (basic(token), basic(token, user=""), {"Authorization": f"Bearer {token}"}):
            assert client.get("/ui", headers=headers).status_code == 200


def test_a_password_opens_nothing_else(private, web):
    client = web(private.url)
    for path in ("/v1/stats", "/v1/operator/status", "/v1/plugins"):
        assert client.get(path, headers=basic(OPERATORS.reveal())).status_code == 401


def test_sources_of_private_snapshots_are_shown_to_operators_only(private, web):
    client = web(private.url)

    def told(headers):
        with client.stream("GET", "/ui/events", headers=headers) as stream:
            event = next(pictures(stream))
        return client.get("/ui", headers=headers).text + client.get("/ui/state", headers=headers).text + str(event)

    operator, other = told(basic(OPERATORS.reveal())), told(basic("cluster"))
    assert "memory://model@" in operator
    blob = json.loads(client.get("/ui/state", headers=basic(OPERATORS.reveal())).text)["tasks"][0]["blobs"][0]["blob"]
    assert "memory://" not in other
    assert blob not in other
    assert "a private source" in other
    assert other.count("1.0 MB") == operator.count("1.0 MB") > 0


def test_without_any_token_it_is_for_this_machine_under_an_address(swarm, web):
    client = web(swarm(Origin({"a": b"a"})).url)
    assert client.get("/ui").status_code == 200
    for host in ("localhost:1", "127.0.0.1", "[::1]:5"):
        assert client.get("/ui", headers={"Host": host}).status_code == 200
    # a stranger's page whose name was made to mean this machine
    assert client.get("/ui/state", headers={"Host": "evil.example:65001"}).status_code == 401


def test_the_page_lets_in_only_its_own_script_and_style(swarm, web):
    client = web(swarm(Origin({"a": b"a"})).url)
    answers = [client.get("/ui") for _ in range(2)]
    policies = [answer.headers["Content-Security-Policy"] for answer in answers]
    assert policies[0] != policies[1]
    for answer, policy in zip(answers, policies, strict=True):
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        page = Html(answer.text)
        for tag in ("script", "style"):
            ((given, _),) = page.all(tag)
            assert rules[f"{tag}-src"] == f"'nonce-{given['nonce']}'"
            assert "src" not in given
        for _, given, _ in page.elements:
            assert not [name for name in given if name.startswith("on") or name == "style"]


def test_a_browser_without_scripts_sees_everything_and_asks_again(swarm, web):
    cluster = swarm(Origin({"model.bin": some_bytes(SEGMENT + MIB)}))
    cluster.node("memory://model", joining={"seed_time": 0.0}).done()
    html = until(lambda: web(cluster.url).get("/ui").text, lambda html: "left, done" in html)
    assert "memory://model@" in html
    assert [len(strip) for strip in drawn_cells(html) if strip] == [2, 2]
    assert '<noscript><meta http-equiv="refresh"' in html


def test_what_changes_is_sent_and_nothing_else(swarm, web):
    origin = Origin({"model.bin": some_bytes(2 * SEGMENT + MIB), "other.bin": some_bytes(MIB, 2)})
    origin.hold("model.bin", SEGMENT)
    cluster = swarm(origin)
    client = web(cluster.url)
    with client.stream("GET", "/ui/events") as stream:
        news = pictures(stream)
        first = next(news)
        assert first["order"] == []
        assert list(first["drawn"]) == ["totals"]
        node = cluster.node("memory://model", joining={"seed_time": 0.0})
        appeared = next(each for each in news if each["order"])
        (section,) = appeared["order"]
        assert section in appeared["drawn"]
        origin.let_go()
        node.done()
        last = next(each for each in news if "left, done" in each["drawn"].get(section, ""))
    page = client.get("/ui").text
    assert last["order"] == [section]
    assert f'<section id="{section}">' in page
    # what was sent is what a newcomer is shown, but for rates
    assert [c for c in drawn_cells(last["drawn"][section]) if c] == [c for c in drawn_cells(page) if c]


def test_streams_end_when_the_seed_peer_stops(tmp_path):
    from dfly.plugins import Plugins
    from dfly.seed.peer import SeedPeer
    from dfly.seed.settings import SeedPeerConfig

    config = SeedPeerConfig(data_dir=str(tmp_path), listen=("127.0.0.1", 0))
    with httpx.Client(trust_env=False, timeout=60) as client:
        with SeedPeer(config, plugins=Plugins()).running() as url:
            stream = client.stream("GET", url + "/ui/events")
            lines = stream.__enter__().iter_lines()
            assert next(lines) == "event: picture"
        assert list(lines)[-1] == ""
        stream.__exit__(None, None, None)


# Drawing, without anybody

NODE = NodePicture(
    node="n1",
    address="127.0.0.1:1",
    location="",
    state="fetching",
    place=0,
    neighbours=(),
    held={"b": 0b101},
    sources={"peer": 5, "seed-peer": 7},
    stalled=0,
    bringing=0,
)
TASK = TaskPicture(
    name="t1",
    source="memory://model",
    public=True,
    blobs=(BlobPicture(blob="b", size=3 * SEGMENT, segments=3, published=0b111, complete=True),),
    nodes=(NODE,),
)
PICTURE = Picture(received={"hub": 0}, sent={}, nodes_received={}, waiting_for="", tasks=(TASK,))


def test_strangers_names_are_text_and_nothing_else():
    node = attrs.evolve(NODE, node=HOSTILE, location=HOSTILE, address="")
    task = attrs.evolve(TASK, source=HOSTILE, nodes=(node,))
    picture = attrs.evolve(PICTURE, tasks=(task,), waiting_for=HOSTILE)
    html = drawing.page(picture, nonce="n", operator=True)
    page = Html(html)
    assert not page.all("img")
    assert "\u202e" not in html
    shown = [text for _, text in page.all("bdi") if "onerror" in text]
    assert len(shown) == 4
    assert all(text == HOSTILE.replace("\u202e", "\ufffd") for text in shown)
    assert [given["data-node"] for given, _ in page.all("tr") if "data-node" in given] == [
        HOSTILE.replace("\u202e", "\ufffd")
    ]


def test_a_message_to_browsers_is_one_line_whatever_is_in_it():
    task = attrs.evolve(TASK, source="memory://a\n\ndata: {}\r\nevent: x")
    sent = drawing.event(attrs.evolve(PICTURE, tasks=(task,)), {})
    assert sent.count(b"\n") == 3
    assert b"\r" not in sent


def test_nothing_is_sent_where_nothing_has_changed():
    known: dict[str, str] = {}
    assert drawing.event(PICTURE, known)
    assert drawing.event(PICTURE, known) == b""
    gone = drawing.event(attrs.evolve(PICTURE, tasks=()), known)
    assert json.loads(gone.partition(b"data: ")[2])["order"] == []


@pytest.mark.parametrize("mask", [0, 1, 0b1011, (1 << 512) - 1, 1 << 511, 0b10101])
def test_runs_are_the_segments_of_a_mask(mask):
    assert segments(runs(mask)) == {n for n in range(512) if mask >> n & 1}


def test_a_long_strip_has_fewer_cells_and_none_is_full_that_is_not():
    mask = ((1 << 512) - 1) ^ (1 << 300)
    found = cells(mask, 512, most=128)
    assert len(found) == 128
    assert [at for at, share in enumerate(found) if share < 1] == [75]
    assert found[75] == 0.75
    assert cells(0b101, 3, most=128) == [1.0, 0.0, 1.0]
    assert cells(0, 0, most=128) == []


def test_rates_are_what_came_since_over_the_time_it_took():
    paces = Paces()
    assert paces.of(PICTURE, 10.0).tasks[0].nodes[0].rates == {"peer": 0.0, "seed-peer": 0.0}
    later = attrs.evolve(
        PICTURE, received={"hub": 300}, tasks=(attrs.evolve(TASK, nodes=(attrs.evolve(NODE, sources={"peer": 25}),)),)
    )
    paced = paces.of(later, 12.0)
    assert paced.rates["in hub"] == 150.0
    assert paced.tasks[0].nodes[0].rates == {"peer": 10.0}
    # long after, only what is recent counts
    assert paces.of(later, 30.0).rates["in hub"] == 0.0


# Taken from the scheduler


class Rings:
    """What a picture is taken of: one task, and nodes that join and report without a socket."""

    def __init__(self, size=3 * SEGMENT):
        self.entry = Entry(path="model.bin", size=size, url="memory://m", identity="m", validator="1")
        freight = Freight((), None, {"b": self.entry}, (("b", self.entry),))
        self.scheduler = Scheduler(blobs={"b"}, clock=lambda: 0.0)
        task = Task(
            id="t", source="s", answer=b"", freight=freight, scheduler=self.scheduler, seals=ClusterSeals(keys=None)
        )
        self.mirror = SimpleNamespace(hub_bytes=0, size=lambda _: size)
        self.counts, self.pulled_bytes, self.waiting_for, self.all = Counts(), 0, "", lambda: [task]

    def join(self, name, port):
        self.scheduler.join(name, [("127.0.0.1", port)])

    def picture(self):
        return Picture.of(self, {})


def test_what_is_shown_of_a_node_is_what_the_scheduler_knows():
    rings = Rings()
    for number in range(3):
        rings.join(f"n{number}", 1000 + number)
    rings.scheduler.publish("b", 0, SEGMENT)
    rings.scheduler.report("n1", Report(node="n1", held={"b": (0, 2)}, sources={"peer": 5}, stalled=(("b", 1),)))
    rings.scheduler.report("n2", Report(node="n2", done=True, goodbye=True, held={"b": (0, 1, 2)}))
    (task,) = rings.picture().tasks
    by_name = {node.node: node for node in task.nodes}
    assert [node.node for node in task.nodes[:2]] == list(rings.scheduler.members)
    for name, node in by_name.items():
        (member,) = [m for m in rings.scheduler.everyone if m.node == name]
        assert node.held == member.held
        assert node.sources == member.sources
        assert node.neighbours == rings.scheduler.neighbours(name)
        assert node.bringing == (member.load if member.connected else 0)
    assert by_name["n1"].held == {"b": 0b101}
    assert by_name["n1"].stalled == 1
    assert (by_name["n2"].state, by_name["n2"].place) == ("left, done", None)
    assert task.segments == 3


def test_a_crowd_is_counted_and_only_some_are_shown():
    rings = Rings()
    for number in range(MOST_NODES + 88):
        rings.join(f"n{number}", 1 + number)
    picture = rings.picture()
    (task,) = picture.tasks
    assert (len(task.nodes), task.others) == (MOST_NODES, 88)
    assert "and 88 more nodes" in drawing.page(picture, nonce="n", operator=True)
