"""A seed peer takes from nodes what they hold: real sessions, a real mirror, no origin."""

import contextlib
import math
import subprocess
import sys
import threading

import pytest

from dfly.layout import Layout
from dfly.seed import leftover, pulling
from dfly.seed.pulling import Puller
from dfly.swarm import Swarm, SwarmSettings
from dfly.testing import faults
from dfly.wire import Segment

from .located import freight_of
from .rigs import SEGMENT, SIZE, content
from .test_adoption import hashes_of, wait_for

HERE = "127.0.0.1"


class Holder:
    """A node's session with segments of a blob."""

    def __init__(self, folder, blob, data, stack):
        folder.mkdir()
        self.path, self.blob, self.data = folder / "data", blob, data
        self.path.write_bytes(data)
        self.swarm = stack.enter_context(Swarm(SwarmSettings(interfaces=(HERE,)), on_event=lambda event: None))
        self.swarm.allow([HERE])
        self.address = (HERE, self.swarm.port)

    def hold(self, index, hashes):
        self.swarm.add_segment(self.blob, Layout(SIZE), index, hashes, path=str(self.path), have=True)


@pytest.fixture
def scene(rig, tmp_path):
    """A mirror that has adopted all of a file, a puller, and a way to make holders."""
    freight = freight_of(rig.file("f", content(SIZE)))
    (blob,) = freight.sizes()
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t", held_back=True)
    hashes = [hashes_of(content(SIZE), index) for index in range(3)]
    for index in range(3):
        assert mirror.adopt(blob, index, SIZE, hashes[index], 1)
    mirror.let_go(freight)
    given_up = []
    with contextlib.ExitStack() as stack:
        puller = stack.enter_context(
            contextlib.closing(
                Puller(
                    mirror,
                    lambda *key: given_up.append(key),
                    open_swarm=lambda on_event: Swarm(SwarmSettings(interfaces=(HERE,)), on_event=on_event),
                )
            )
        )

        class Scene:
            def holder(self, name, *indexes, data=None):
                made = Holder(tmp_path / name, blob, data or content(SIZE), stack)
                for index in indexes:
                    made.hold(index, hashes[index])
                return made

            def pull(self, index, *peers):
                puller.pull(Segment(blob=blob, index=index, size=SIZE, hashes=hashes[index]), peers)

        made = Scene()
        made.rig, made.mirror, made.ear, made.puller, made.given_up, made.freight = (
            rig, mirror, ear, puller, given_up, freight,
        )  # fmt: skip
        made.blob = blob
        yield made


def test_what_two_nodes_hold_makes_the_blob_complete_without_the_origin(scene):
    one, other = scene.holder("one", 0, 1), scene.holder("other", 2)
    for index, holder in ((0, one), (1, one), (2, other)):
        scene.pull(index, holder.address)
        scene.pull(index, holder.address)
    scene.ear.complete(scene.freight)
    assert scene.rig.right(scene.mirror, scene.freight)
    assert scene.rig.origin.requests == []
    assert not scene.ear.lies
    wait_for(lambda: scene.puller.room == pulling.WINDOW)


def test_a_segment_is_readable_as_soon_as_it_has_come(scene):
    holder = scene.holder("one", 1)
    scene.pull(1, holder.address)
    scene.ear.wait("segment", scene.blob, 1)
    assert scene.mirror.state(scene.blob).segments.keys() == {1}


@pytest.fixture
def silent_origin(scene):
    """An origin that is asked for another file and sends nothing; set it to let it go on."""
    sends = threading.Event()
    other = freight_of(scene.rig.file("other", content(SEGMENT)))
    scene.rig.origin.fault("other", faults.stall(sends), times=math.inf)
    scene.mirror.want(other, scene.rig.backend, task="other")
    wait_for(lambda: scene.mirror.asking)
    yield sends
    sends.set()


def test_the_origin_that_nodes_wait_for_comes_first(scene, silent_origin, monkeypatch):
    monkeypatch.setattr(leftover, "STEP", 3600.0)
    receive, asked = scene.mirror.receive, []

    def receive_and_note(blob):
        path = receive(blob)
        asked.append(path)
        return path

    monkeypatch.setattr(scene.mirror, "receive", receive_and_note)
    scene.pull(0, scene.holder("one", 0).address)
    # what is under way is not asked about again
    wait_for(lambda: sum(path is not None for path in asked) >= 2)
    assert scene.puller.pulled_bytes == 0
    silent_origin.set()
    scene.ear.wait("segment", scene.blob, 0)


def test_an_origin_that_sends_nothing_holds_up_nobody(scene, silent_origin, monkeypatch):
    monkeypatch.setattr(leftover, "STEP", 0.01)
    holder = scene.holder("one", 0, 1, 2)
    for index in range(3):
        scene.pull(index, holder.address)
    scene.ear.complete(scene.freight)
    assert scene.mirror.asking


def test_whatever_goes_wrong_what_is_pulled_is_given_up(scene, monkeypatch):
    def broken(blob):
        raise RuntimeError("a defect")

    monkeypatch.setattr(scene.mirror, "receive", broken)
    for index in range(2):
        scene.pull(index, scene.holder(f"h{index}", index).address)
    wait_for(lambda: set(scene.given_up) == {(scene.blob, 0), (scene.blob, 1)})
    assert scene.puller.room == pulling.WINDOW


def test_what_no_holder_sends_is_given_up(scene, monkeypatch):
    monkeypatch.setattr(pulling, "STUCK", 60.0)
    holder = scene.holder("one", 1)
    scene.pull(0, holder.address)
    scene.pull(1, holder.address)
    scene.ear.wait("segment", scene.blob, 1)
    monkeypatch.setattr(pulling, "STUCK", 0.2)
    wait_for(lambda: scene.given_up == [(scene.blob, 0)])


def test_a_withdrawn_blob_is_left_at_once(scene):
    scene.pull(0, scene.holder("one").address)
    scene.puller.drop(scene.blob)
    wait_for(lambda: scene.puller.room == pulling.WINDOW)
    assert scene.given_up == []


def test_where_no_session_can_be_opened_everything_is_given_up(scene):
    from dfly.errors import SwarmError

    def fail(on_event):
        raise SwarmError("no port")

    given_up = []
    with contextlib.closing(Puller(scene.mirror, lambda *key: given_up.append(key), open_swarm=fail)) as puller:
        for index in range(2):
            puller.pull(Segment(blob="b", index=index, size=SIZE, hashes=bytes(320)), [(HERE, 1)])
        wait_for(lambda: sorted(given_up) == [("b", 0), ("b", 1)])


def test_a_seed_peer_that_takes_nothing_over_has_no_libtorrent():
    code = (
        "import sys, tempfile\n"
        "from dfly.plugins import Plugins\n"
        "from dfly.seed.peer import SeedPeer\n"
        "from dfly.seed.settings import SeedPeerConfig\n"
        "config = SeedPeerConfig(data_dir=tempfile.mkdtemp(), listen=('127.0.0.1', 0))\n"
        "with SeedPeer(config, plugins=Plugins(extra=[])).running(): pass\n"
        "sys.exit('libtorrent' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
