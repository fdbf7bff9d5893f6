"""Preheat of nodes: a later dfget beside each of them moves nothing."""

import attrs
import httpx
import pytest

from dfly.config import Joining
from dfly.errors import AccessDenied
from dfly.layout import Layout
from dfly.node.control import in_order
from dfly.packs import Freight
from dfly.plugins import Plugins
from dfly.testing.swarm import tree
from dfly.wire import Ask, Have, Resolved, Segment
from tests.preheat.conftest import DISTINCT, FILES, MODEL, until
from tests.swarm_e2e.origin import Origin


def test_after_a_preheat_of_four_nodes_a_dfget_on_each_transfers_nothing(seed, node, dfctl, stand, origin):
    peer = seed()
    nodes = [node(f"n{n}", peer) for n in range(4)]
    stand(peer, 4)
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--nodes", "all", "--json")
    assert done.code == 0, done.err
    assert set(done.nodes) == {node.name for node in nodes}
    for row in done.nodes.values():
        assert (row["state"], row["bytes"], row["error"]) == ("done", DISTINCT, None)
        assert "hub" not in row["sources"]
    assert origin.total == DISTINCT
    sent = peer.sent()
    for each in nodes:
        report = each.fetch()
        assert tree(each.folder / "out") == FILES
        assert report.sources == {"cache": DISTINCT}
    assert (origin.total, peer.sent()) == (DISTINCT, sent)


def test_a_second_preheat_finds_everything_there(seed, node, dfctl, stand, origin):
    peer = seed()
    one = node("one", peer)
    stand(peer, 1)
    argv = (MODEL, "-r", "--seed-peer", peer.url, "--nodes", "all", "--json")
    assert dfctl(*argv).code == 0
    again = dfctl(*argv)
    assert (again.code, again.nodes[one.name]["sources"]) == (0, {"cache": DISTINCT})
    assert origin.total == DISTINCT


def test_so_many_nodes_are_the_same_ones_each_time(seed, node, dfctl, stand):
    peer = seed()
    for n in range(4):
        node(f"n{n}", peer)
    stand(peer, 4)
    argv = (MODEL, "-r", "--include", "*.json", "--seed-peer", peer.url, "--nodes", "2", "--json")
    first, second = dfctl(*argv), dfctl(*argv)
    assert (first.code, len(first.nodes)) == (0, 2)
    assert first.nodes.keys() == second.nodes.keys()


def test_a_location_chooses_those_below_it(seed, node, dfctl, stand):
    peer = seed()
    places = {"a": "east/r1", "b": "east/r2", "c": "eastern/r1", "d": ""}
    made = {name: node(name, peer, location=place) for name, place in places.items()}
    stand(peer, 4)

    def chosen(location):
        done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--nodes", f"location={location}", "--json")
        return {name for name, each in made.items() if each.name in done.nodes}

    assert chosen("east") == {"a", "b"}
    assert chosen("east/r1") == {"a"}
    nobody = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--nodes", "location=west")
    assert (nobody.code, "no node stands by at west" in nobody.err) == (12, True)


def test_too_few_nodes_are_told_before_anything_is_fetched(seed, node, dfctl, stand, origin):
    peer = seed()
    node("one", peer)
    stand(peer, 1)
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--nodes", "2")
    assert (done.code, "1 of the 2 nodes asked for stand by" in done.err) == (12, True), done.err
    assert origin.total == 0


def test_what_is_pinned_is_pinned_on_the_nodes(seed, node, dfctl, stand):
    peer = seed()
    one = node("one", peer)
    stand(peer, 1)
    assert dfctl(MODEL, "-r", "--pin", "--seed-peer", peer.url, "--nodes", "all").code == 0
    assert one.pinned() == [True]


def test_a_node_without_room_says_so(seed, node, dfctl, stand):
    peer = seed()
    small, large = node("small", peer, cache_size=1 << 20), node("large", peer)
    stand(peer, 2)
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--nodes", "all", "--json")
    assert done.code == 11, done.err
    assert done.nodes[small.name]["state"] == "failed"
    assert done.nodes[large.name]["state"] == "done"
    assert small.name in done.err
    assert large.name not in done.err.partition("not everything")[2]


@pytest.fixture
def vault():
    return Origin(FILES, token="open sesame")


def test_a_source_that_opens_only_to_a_secret_stays_on_the_seed_peer(seed, node, dfctl, stand, vault):
    private = Plugins(extra=[vault.backend])
    peer = seed(plugins=private)
    one = node("one", peer, plugins=private)
    stand(peer, 1)
    argv = (MODEL, "-r", "--seed-peer", peer.url, "--memory-token", "open sesame")
    refused = dfctl(*argv, "--nodes", "all", plugins=private)
    assert refused.code == 5, refused.err
    assert "opens only to a secret, and secrets are not handed to nodes" in refused.err
    assert "leave out --nodes" in refused.err
    assert (vault.total, one.blobs()) == (0, 0)
    assert dfctl(*argv, plugins=private).code == 0
    report = one.fetch(options={"memory": {"token": "open sesame"}})
    assert set(report.sources) <= {"seed-peer", "cache"}
    assert vault.total == DISTINCT


def test_a_public_source_is_preheated_whatever_the_operator_shows(seed, node, dfctl, stand, origin):
    peer = seed()
    one = node("one", peer)
    stand(peer, 1)
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--memory-token", "s3cret", "--nodes", "all", "--json")
    assert (done.code, done.nodes[one.name]["state"]) == (0, "done"), done.err
    kept = b"".join(path.read_bytes() for path in (one.folder / "data/snapshots").iterdir())
    assert b"s3cret" not in kept


def test_one_public_file_can_be_preheated_too(seed, node, dfctl, stand):
    """A backend does not say of one file whether everybody may read it: the source is asked."""
    peer = seed()
    one = node("one", peer)
    stand(peer, 1)
    done = dfctl(f"{MODEL}/other.bin", "--seed-peer", peer.url, "--nodes", "all", "--json")
    assert (done.code, done.nodes[one.name]["state"]) == (0, "done"), done.err
    report = one.fetch(f"{MODEL}/other.bin", "other.bin", recursive=False)
    assert report.sources == {"cache": len(FILES["other.bin"])}


def test_a_node_without_the_plugin_takes_it_from_the_swarm_all_the_same(seed, node, dfctl, stand, plugins):
    peer = seed()
    bare = node("bare", peer, plugins=Plugins())
    stand(peer, 1)
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--nodes", "all", "--json")
    assert (done.code, done.nodes[bare.name]["state"]) == (0, "done"), done.err
    bare.plugins = plugins
    assert bare.fetch().sources == {"cache": DISTINCT}


def test_the_revision_is_that_of_the_nodes_option(seed, node, dfctl, stand, origin):
    first = origin.hub.revisions("model")[0]
    origin.hub.commit("model", {"new.bin": b"new"})
    peer = seed()
    one = node("one", peer)
    stand(peer, 1)
    argv = (MODEL, "-r", "--memory-revision", first, "--seed-peer", peer.url, "--nodes", "all", "--json")
    done = dfctl(*argv)
    assert (done.code, done.nodes[one.name]["bytes"]) == (0, DISTINCT), done.err
    report = one.fetch(options={"memory": {"revision": first}})
    assert report.sources == {"cache": DISTINCT}


def test_an_old_seed_peer_that_sends_nobody_is_no_trouble(seed, node, monkeypatch, origin):
    monkeypatch.setattr("dfly.seed.operators.preheating.Preheating.add_routes", lambda self, router: None)
    peer = seed()
    one = node("one", peer)
    assert one.fetch().sources == {"seed-peer": DISTINCT}
    assert origin.total == DISTINCT


@pytest.fixture
def replaced(seed, node, dfctl, stand, origin):
    """A seed peer without its disk, at which a preheated node is again."""
    peer = seed()
    one = node("one", peer)
    stand(peer, 1)
    assert dfctl(MODEL, "-r", "--seed-peer", peer.url, "--nodes", "all").code == 0
    peer.stop()
    origin.sent.clear()
    empty = seed("empty", listen=("127.0.0.1", int(peer.url.rpartition(":")[2])))
    until(lambda: any(task["members"] for task in empty.stats()["tasks"]))
    return empty, one


def test_a_seed_peer_that_lost_its_disk_is_filled_by_nodes(replaced, dfctl, origin):
    peer, _ = replaced
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--json")
    assert (done.code, done.seed_peer["sources"]) == (0, {"peer": DISTINCT}), done.err
    assert origin.total == 0


def published(client, resolved) -> tuple[Segment, ...]:
    """Every segment of a task whose blobs are complete, with the seed peer's mark."""
    found = []
    for blob, size in Freight.of(resolved.snapshot, task=resolved.task).sizes().items():
        told, layout = client.get(f"/v1/snapshots/{resolved.task}/hashes/{blob}").content, Layout(size)
        macs = told[20 * layout.pieces :]
        for index in range(layout.segments):
            pieces = layout.segment_pieces(index)
            hashes, mac = told[20 * pieces.start : 20 * pieces.stop], macs[16 * index : 16 * index + 16].hex()
            found.append(Segment(blob=blob, index=index, size=size, hashes=hashes, mac=mac))
    return tuple(found)


def test_what_nodes_said_they_hold_is_fetched_after_all_when_they_have_left(seed, dfctl, origin):
    first, second = seed(), seed("second")
    assert dfctl(MODEL, "-r", "--seed-peer", first.url).code == 0
    ask = Ask(url=MODEL, recursive=True)
    with httpx.Client(base_url=first.url, trust_env=False, timeout=60) as client:
        resolved = Resolved.decode(client.post("/v1/snapshots", content=ask.encode()).content)
        segments = published(client, resolved)
    with httpx.Client(base_url=second.url, trust_env=False, timeout=60) as client:
        client.post("/v1/snapshots", content=attrs.evolve(ask, known=resolved).encode()).raise_for_status()
        place = f"/v1/snapshots/{resolved.task}"
        # one that cannot be dialled: nothing is taken from it
        with client.stream("GET", f"{place}/events", params={"node": "n", "port": "0"}) as stream:
            next(stream.iter_lines())
            have = client.post(f"{place}/have", content=Have(node="n", segments=segments).encode())
            assert have.json() == {"believed": len(segments)}
    origin.sent.clear()
    done = dfctl(MODEL, "-r", "--seed-peer", second.url, "--timeout", "40s", "--json")
    assert (done.code, done.seed_peer["sources"]) == (0, {"hub": DISTINCT}), done.err
    assert origin.total == DISTINCT


def test_what_is_secret_in_a_link_is_not_handed_to_nodes(seed, node, dfctl, stand, origin):
    class Keyed(origin.backend):
        """Opens to links with a key in them."""

        def list(self, url):
            bare, _, key = url.partition("?")
            if key != "key=0123456789abcdef":
                raise AccessDenied(f"{bare} asks for a key")
            return attrs.evolve(super().list(bare), public=False)

        def authorize(self, snapshot):
            return True

    plugins = Plugins(extra=[Keyed])
    peer = seed(plugins=plugins)
    one = node("one", peer, plugins=plugins)
    stand(peer, 1)
    argv = (f"{MODEL}?key=0123456789abcdef", "-r", "--seed-peer", peer.url, "--json")
    refused = dfctl(*argv, "--nodes", "all", plugins=plugins)
    alone = dfctl(*argv, plugins=plugins)
    assert (refused.code, "secrets are not handed to nodes" in refused.err) == (5, True), refused.err
    assert (alone.code, alone.seed_peer["bytes"]) == (0, DISTINCT), alone.err
    assert one.blobs() == 0
    assert "0123456789abcdef" not in "".join((refused.out, refused.err, alone.out, alone.err))


def test_with_several_seed_peers_it_does_not_matter_which_one_sends_the_nodes(seed, node, dfctl, stand, origin):
    peers = [seed(), seed("other")]
    urls = tuple(peer.url for peer in peers)
    joining = Joining(seed_peers=urls, interface="127.0.0.1", settle=0.5)
    one = node("one", peers[0], joining=joining)
    for peer in peers:
        stand(peer, 1)
        done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--nodes", "all", "--json")
        assert (done.code, done.nodes[one.name]["state"]) == (0, "done"), done.err
    assert one.fetch().sources == {"cache": DISTINCT}
    assert origin.total == 2 * DISTINCT


def test_of_several_seed_peers_it_takes_the_one_that_nodes_take(seed, node, dfctl, stand, origin):
    peers = [seed(), seed("other")]
    urls = tuple(peer.url for peer in peers)
    one = node("one", peers[0], joining=Joining(seed_peers=urls, interface="127.0.0.1", settle=0.5))
    for peer in peers:
        stand(peer, 1)
    # whichever is named first, one of these belongs to the other
    sources = {in_order(urls, f"memory://model-{n}")[0]: f"memory://model-{n}" for n in range(64)}
    assert sources.keys() == set(urls)
    for number, source in enumerate(sources.values()):
        origin.hub.commit(source.removeprefix("memory://"), {f"{number}.bin": bytes([number]) * 70_000})
    named = [word for url in urls for word in ("--seed-peer", url)]
    done = dfctl(*sources.values(), "-r", *named, "--nodes", "all", "--json")
    assert done.code == 0, done.err
    assert {found["at"]: found["url"] for found in done.json["preheats"]} == sources
    for number, source in enumerate(sources.values()):
        assert one.fetch(source, output=f"out-{number}").sources == {"cache": 70_000}
    assert origin.total == 2 * 70_000
