"""Must 4: during a run, the page and the JSON behind it show the truth."""

from collections import Counter

import pytest

from tests.swarm_e2e.files import SEGMENT, some_bytes
from tests.swarm_e2e.origin import Origin

from .reading import Html, drawn_cells, segments, until

#: Of four segments, so many are let through at first.
FIRST = 2


def state(client):
    return client.get("/ui/state").json()


def only_task(said):
    (task,) = said["tasks"]
    return task


def held(task):
    return {node["node"]: {b: segments(runs) for b, runs in node["held"].items()} for node in task["nodes"]}


def run(swarm, web, count):
    origin = Origin({"model.bin": some_bytes(3 * SEGMENT + 5)})
    origin.hold("model.bin", FIRST * SEGMENT)
    cluster = swarm(origin)
    nodes = cluster.several(count, "memory://model", joining={"seed_time": 0.0})
    client = web(cluster.url)
    for node in nodes:
        node.until("segment.finished", FIRST)

    # half-way: everybody has what is published, nobody has more, and the drawing says the same as the numbers
    blob = only_task(state(client))["blobs"][0]["blob"]
    task = until(
        lambda: only_task(state(client)),
        lambda task: list(held(task).values()) == [{blob: set(range(FIRST))}] * count,
    )
    assert segments(task["blobs"][0]["published"]) == set(range(FIRST))
    assert not task["blobs"][0]["complete"]
    assert {node["state"] for node in task["nodes"]} == {"fetching"}
    assert sorted(node["place"] for node in task["nodes"]) == list(range(count))
    ring = {node["node"]: set(node["neighbours"]) for node in task["nodes"]}
    order = sorted(task["nodes"], key=lambda node: node["place"])
    for one, other in zip(order, order[1:] + order[:1], strict=True):
        assert other["node"] in ring[one["node"]]
    html = client.get("/ui").text
    assert [given["data-node"] for given, _ in Html(html).all("tr") if "data-node" in given] == [
        node["node"] for node in order
    ]
    strips = [cells for cells in drawn_cells(html) if cells]
    assert strips == [dict.fromkeys(range(FIRST), "full")] * (1 + count)

    # at the end: the bytes of each node are those that it reports itself
    origin.let_go()
    reports = [node.done().sources for node in nodes]
    final = until(lambda: only_task(state(client)), lambda t: {n["state"] for n in t["nodes"]} == {"left, done"})
    plain = sorted(tuple(sorted(sources.items())) for sources in reports)
    assert sorted(tuple(sorted(node["sources"].items())) for node in final["nodes"]) == plain
    assert all(segments(node["held"][blob]) == {0, 1, 2, 3} for node in final["nodes"])
    assert final["blobs"][0]["complete"]
    said, total = state(client), Counter()
    for sources in reports:
        total.update(sources)
    assert said["nodes_received"] == dict(total)
    assert said["received"]["hub"] == 3 * SEGMENT + 5
    assert said["sent"]["web seed"] >= total["seed-peer"]


def test_the_page_shows_the_truth_of_four_nodes(swarm, web):
    run(swarm, web, 4)


@pytest.mark.long
def test_the_page_shows_the_truth_of_sixteen_nodes(swarm, web):
    run(swarm, web, 16)
