"""One node's word expels nobody."""

from collections.abc import Callable

from dfly.layout import MIB

from .conftest import World

Build = Callable[..., World]


def test_a_node_that_accuses_everybody_expels_nobody(world: Build) -> None:
    w = world(80 * MIB, rate=8 * MIB)  # long enough for the word to be heard on a busy machine
    slanderer = w.liar()
    slanderer.claims = set()
    for _ in range(3):
        w.node()
    slanderer.wait(lambda: bool(slanderer.ring.neighbours))

    def accuse() -> None:
        slanderer.accuses = tuple({*slanderer.accuses, *slanderer.ring.neighbours, *slanderer.ring.admitted})

    # again and again: a word against one who has another neighbour by the time it is heard changes nothing
    accused = w.wait_logged("peer.accused", meanwhile=accuse)
    assert accused["node"] == slanderer.node
    w.check()
    assert not [line for line in w.logged if line["event"] == "peer.expelled"]
    honest = {node.address for node in w.nodes}
    assert accused["address"].partition(":")[0] in honest
    assert w.stats()["hub_bytes"] == w.size
