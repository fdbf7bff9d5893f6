"""The conformance kit: subclass `BackendContract`, give two fixtures, and every promise of `dfly.backend` is tested.

    import pytest
    from dfly.backend import build_options
    from dfly.testing.contract import BackendContract, World, lent_tools

    class TestGopher(BackendContract):
        @pytest.fixture
        def backend(self, server):
            with lent_tools() as tools:
                backend = GopherBackend(build_options(GopherBackend, {}, {}), tools)
                yield backend
                backend.close()

        @pytest.fixture
        def world(self, server):
            return World(file=server.url("/a.bin"), content=server.content, missing=server.url("/nowhere"))

A failure names the promise in brackets (PROMISES has them all) and says what to do. What a `World` leaves out is skipped:
read the skips once. Give every test a fresh origin, because some change it. The tests live in `dfly.testing.promises`,
by subject.
"""

from __future__ import annotations

from dfly.testing.lent import lent_tools
from dfly.testing.promises.broken import BrokenPromise
from dfly.testing.promises.cached import CachedPromises
from dfly.testing.promises.covered import CoveredPromises
from dfly.testing.promises.declared import DeclaredPromises
from dfly.testing.promises.guarded import GuardedPromises
from dfly.testing.promises.moved import MovedPromises
from dfly.testing.promises.promised import PROMISES
from dfly.testing.promises.resolved import ResolvedPromises
from dfly.testing.world import World

__all__ = ["PROMISES", "BackendContract", "BrokenPromise", "World", "lent_tools"]


class BackendContract(
    # pytest begins with the last: what is wrong with an entry is said before all that goes wrong for it
    GuardedPromises,
    MovedPromises,
    CachedPromises,
    CoveredPromises,
    ResolvedPromises,
    DeclaredPromises,
):
    """Every promise of a backend. Fixtures to give: `backend`, an instance, and `world`, what its origin holds."""
