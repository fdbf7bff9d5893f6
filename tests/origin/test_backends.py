"""One instance per class and options."""

import attrs
import pytest
from tests.origin.conftest import Located

from dfly.backend import NoOptions, option
from dfly.config import Network, Patience
from dfly.errors import PluginError, UsageError
from dfly.origin.backends import Backends
from dfly.plugins import Plugins


@attrs.define
class Unhashable:
    revision: str | None = option(help="a revision")


class Closing(Located):
    closed = 0

    def close(self):
        self.closed += 1


class Broken(Located):
    def __init__(self, settings, tools):
        raise settings


@pytest.fixture
def backends():
    with Backends(Plugins(extra=[Located]), network=Network(), patience=Patience()) as made:
        yield made


def test_idle_instances_beyond_a_few_are_closed_the_oldest_first():
    now = [0.0]
    with Backends(Plugins(extra=[Closing]), network=Network(), patience=Patience(), clock=lambda: now[0]) as backends:

        def get(revision):
            return backends.get(Closing, Unhashable(revision=revision))

        old, used, young = get("a"), get("b"), get("c")
        now[0] = 100.0
        fresh = get("c")
        backends.evict(keep=1, idle=50.0, but=[used])
        assert (old.closed, used.closed, young.closed) == (1, 0, 0)
        assert fresh is young
        assert get("a") is not old
        assert get("b") is used
        now[0] = 1000.0
        backends.evict(keep=5, idle=50.0, but=())
        assert used.closed == 0
    assert (old.closed, used.closed) == (1, 1)


def test_equal_options_share_an_instance(backends):
    one = backends.get(Located, Unhashable(revision="a"))
    assert backends.get(Located, Unhashable(revision="a")) is one
    assert backends.get(Located, Unhashable(revision="b")) is not one
    assert backends.get(Closing, Unhashable(revision="a")) is not one


def test_backends_are_closed_once_and_then_the_connections():
    backends = Backends(Plugins(extra=[Closing]), network=Network(), patience=Patience())
    backend = backends.get(Closing, NoOptions())
    backends.close()
    backends.close()
    assert backend.closed == 1
    assert backend.tools.client.is_closed


def test_a_backend_that_cannot_be_built_is_the_plugins_fault(backends):
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        backends.get(Broken, ZeroDivisionError("oops"))


def test_a_backend_may_refuse_its_options(backends):
    with pytest.raises(UsageError, match="no such endpoint"):
        backends.get(Broken, UsageError("no such endpoint"))
