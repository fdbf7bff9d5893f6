"""ModelScope on loopback: real sockets, a hub and its storage on two origins, and the faults that the real one has.

    with FixtureHub() as hub:
        hub.repo("owner/name", {"config.json": b"{}", "model.safetensors": Path("weights")})
        …  # MODELSCOPE_ENDPOINT=hub.url

Its fidelity is pinned by tests that run the real `modelscope` client against it. As a process of its own:
`python -m dfly_modelscope.testing --root DIR --repo owner/name` prints its URL and serves until it is stopped.
"""

from dfly.testing.hub import Account, Call, Fault
from dfly_modelscope.testing.content import File
from dfly_modelscope.testing.fixture import FixtureHub
from dfly_modelscope.testing.repos import Repo

__all__ = ["Account", "Call", "Fault", "File", "FixtureHub", "Repo"]
