"""What a session is told when a segment is asked for, and when it gets help."""

from types import SimpleNamespace

from dfly.layout import Layout
from dfly.node.segments import Segments
from dfly.node.window import Window


class Session:
    """Takes note of what it is told; no byte ever comes."""

    def __init__(self):
        self.told = []

    def add_segment(self, blob, layout, index, hashes, *, web_seeds, have_pieces, **_):
        self.told.append(("add", bool(web_seeds), set(have_pieces)))

    def remove(self, key):
        self.told.append(("remove",))

    def arrived(self, key):
        return {}


def test_help_from_the_web_seed_does_not_forget_pieces_that_are_here_from_an_earlier_run():
    session = Session()
    flow = SimpleNamespace(
        blob="b",
        duties=set(),
        awaited=list,
        ongoing={},
        pieces_here={0: {1, 2, 3}},
        layout=Layout(1),
        hashes={0: b""},
        gathered=lambda: SimpleNamespace(partial=SimpleNamespace(path="data")),
    )
    segments = Segments(
        flows={},
        swarm=session,
        circle=SimpleNamespace(peers=list, web_seed=lambda blob: "http://seed/b"),
        reports=None,
        workers=None,
        window=Window(),
        emit=None,
    )
    segments._ask(flow, 0)
    segments.use_web_seed(flow, 0)
    assert session.told == [("add", False, {1, 2, 3}), ("remove",), ("add", True, {1, 2, 3})]
