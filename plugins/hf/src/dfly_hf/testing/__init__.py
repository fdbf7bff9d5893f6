"""A Hugging Face Hub on loopback: real sockets, real redirects, and every fault a hub can have.

    with FixtureHub() as hub:
        hub.repo("owner/name", {"config.json": b"{}", "model.safetensors": Path("weights")})
        …  # HF_ENDPOINT=hub.url

Its fidelity is pinned by tests that run the real `huggingface_hub` client against it. As a process of its own:
`python -m dfly_hf.testing --repo owner/name=DIR` prints its URL and serves until it is stopped.
"""

from dfly.testing.hub import Account, Call, Fault
from dfly_hf.testing.content import File
from dfly_hf.testing.fixture import FixtureHub
from dfly_hf.testing.repos import Repo

__all__ = ["Account", "Call", "Fault", "File", "FixtureHub", "Repo"]
