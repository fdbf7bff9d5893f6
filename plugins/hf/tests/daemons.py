"""A node daemon of one's own, with the hub's API on it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfly.config import Joining
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.testing.lent import QUICK


@contextlib.contextmanager
def daemon(folder: Path, *, seed_peers: tuple[str, ...] = (), **settings: Any) -> Iterator[str]:
    """The URL of a daemon's endpoint, while it runs with its data in `folder`. What the hub is, the environment says.

    A branch is asked for anew each time unless `revision_ttl` says otherwise.
    """
    settings = {"revision_ttl": 0.0, "patience": QUICK, "listen": ("127.0.0.1", 0), **settings}
    joining = Joining(seed_peers=seed_peers, interface="127.0.0.1", back_to_source=not seed_peers)
    config = NodeConfig(data_dir=str(folder), socket=str(folder / "s"), joining=joining, **settings)
    with NodeDaemon(config).running() as started:
        yield f"{started.url}/hf"
