"""The fixtures of dfget's own tests, with a daemon between: what holds embedded holds borrowed."""

import pytest

from dfly.config import Joining
from dfly.daemon.client import Daemon
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from tests.dfget.conftest import QUICK, Fetch, hub, secure_web, web  # noqa: F401


class Borrowing(Fetch):
    def __init__(self, socket: str) -> None:
        super().__init__()
        self._lender = Daemon(socket)

    def __call__(self, url, output=None, **given):
        return super().__call__(url, output, **{"lender": self._lender, **given})


@pytest.fixture
def socket(tmp_path, here):
    config = NodeConfig(
        data_dir=str(tmp_path / "data"),
        socket=str(tmp_path / "run/dfly.sock"),
        patience=QUICK,
        joining=Joining(interface="127.0.0.1"),
    )
    with NodeDaemon(config).running() as where:
        yield where.socket


@pytest.fixture
def fetch(socket):
    return Borrowing(socket)


@pytest.fixture
def dfget(dfget, socket, monkeypatch):
    monkeypatch.setenv("DFLY_SOCKET", socket)
    return dfget
