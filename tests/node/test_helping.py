"""What a segment that stands still is given, one thing after the other, and each with its time."""

from types import SimpleNamespace

import pytest

from dfly.errors import SwarmError
from dfly.node.helping import Hearing, Help
from dfly.node.window import Ongoing, Window
from dfly.wire import Advice

PATIENCE = 15.0


class Standstill:
    """One segment of which no byte comes, whatever is done for it. `given` is what was done, and when."""

    def __init__(self, *, latency: float) -> None:
        self.now, self.given, self.progressed, self.said = 0.0, [], 0.0, ""
        self.ongoing = Ongoing(began=0.0, progressed=0.0, web_seed=False)
        flow = SimpleNamespace(
            blob="b", ongoing={0: self.ongoing}, arrival=SimpleNamespace(settled=False, label="weights.bin")
        )
        peer = SimpleNamespace(url="http://seed", report=None)
        self.hearing = Hearing(heard=0.0, since=-100.0)
        self.help = Help(
            flows={"b": flow},
            segments=self,
            swarm=None,
            circle=SimpleNamespace(
                ring=SimpleNamespace(neighbours=[("n", 1)]),
                seat=SimpleNamespace(seed_peer=peer, task="t"),
                widened=lambda _: None,
            ),
            trust=SimpleNamespace(look=lambda *_, **__: None),
            reports=SimpleNamespace(make=lambda *_, **__: None),
            workers=SimpleNamespace(talk=lambda got, *_: got(Advice(chords=()))),
            window=Window(patience=3.0, latency=latency),
            hearing=self.hearing,
            emit=lambda _: None,
            patience=PATIENCE,
        )

    def count(self, *_):
        """Nothing has come."""

    def ask_for_hashes(self, _):
        """They are known."""

    def use_web_seed(self, *_):
        self.given.append(("web seed", self.now))
        self.ongoing.web_seed, self.ongoing.helped = True, self.now

    def begin_anew(self, *_):
        self.given.append(("anew", self.now))
        self.ongoing.helped = self.now

    def until_it_gives_up(self) -> float:
        while self.now < 600:
            self.now += 0.25
            self.hearing.word(self.now)
            try:
                self.help.look(self.now)
            except SwarmError as error:
                self.said = error.message
                return self.now
        pytest.fail("it never gives up")


@pytest.mark.parametrize("latency", [0.5, 4.0, 20.0], ids=["fast links", "slow links", "very slow links"])
def test_the_web_seed_has_its_time_before_the_swarm_is_given_up(latency):
    still = Standstill(latency=latency)
    gave_up = still.until_it_gives_up()
    assert still.given[0][0] == "web seed"
    assert "neither a node nor the seed peer http://seed sends segment 0" in still.said
    assert gave_up - still.given[0][1] > PATIENCE


def test_a_segment_that_neither_nodes_nor_the_web_seed_bring_is_begun_anew_once():
    still = Standstill(latency=0.5)
    gave_up = still.until_it_gives_up()
    assert [what for what, _ in still.given] == ["web seed", "anew"]
    assert gave_up - still.given[1][1] > PATIENCE
