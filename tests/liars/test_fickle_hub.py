"""A hub that changes a file in flight: the pinned revision, or a clear error; never a mixture."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from dfly.config import Joining
from dfly.errors import Changed
from dfly.layout import Layout
from dfly.node.fetch import fetch
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing import faults
from dfly.testing.faults import Exchange
from dfly.testing.origin import FaultyOrigin

from .conftest import FILE, Gate, World, content_of, gated

Build = Callable[..., World]
SIZE = 3 * Layout(1).segment_length


def test_a_branch_that_moves_in_flight_gives_everybody_the_pinned_commit(world: Build) -> None:
    gate = Gate(*Layout(SIZE).segment_range(1))
    w = world(SIZE, backend=gated(SIZE, gate))
    early = w.node()
    early.wait_held(0)
    w.backend.hub.commit("repo", {FILE: content_of(SIZE + 1)[1:]})
    late = w.node()
    gate.open()
    early.wait_done()
    assert early.output.read_bytes() == w.data
    late.wait_done()
    # the seed peer remembers for a while what the branch meant
    assert late.output.read_bytes() == w.data


def test_a_file_without_a_pinned_revision_that_changes_in_flight_is_a_clear_error_at_every_node(
    tmp_path: Path,
) -> None:
    content, numbers = content_of(SIZE), itertools.cycle(range(256))

    def changing(exchange: Exchange) -> None:
        faults.replaced(bytes([next(numbers)]) + content[1:])(exchange)

    with FaultyOrigin() as origin:
        url = origin.add("model.bin", content)
        origin.fault("model.bin", changing, times=math.inf, when=lambda seen: seen.method == "GET")
        config = SeedPeerConfig(data_dir=str(tmp_path / "seed"), listen=("127.0.0.1", 0))
        with SeedPeer(config).running() as seed_peer:
            joining = Joining(seed_peers=(seed_peer,), back_to_source=False)
            for number in range(2):
                with pytest.raises(Changed, match=r"model\.bin"):
                    fetch(url, str(tmp_path / f"out{number}" / "model.bin"), joining=joining)
                assert not (tmp_path / f"out{number}" / "model.bin").exists()
