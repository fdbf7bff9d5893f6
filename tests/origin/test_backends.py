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
