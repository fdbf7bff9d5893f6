"""The promises that every backend makes, kept by this one."""

import random
from collections.abc import Callable

import pytest

from dfly.testing.contract import BackendContract, World
from dfly_hf.backend import HfBackend
from dfly_hf.testing import FixtureHub

TOKEN, OTHER = "hf_canary", "hf_stranger"
CONTENT = random.Random(1).randbytes(50_000)
FILES = {"model.safetensors": CONTENT, "config.json": b"{}" * 9000, "sub/dir/a b#c?%20.txt": b"odd", "empty.txt": b""}


class PromisesOfHf(BackendContract):
    file_name: str

    @pytest.fixture
    def backend(self, backend: Callable[..., HfBackend]) -> HfBackend:
        return backend(token=TOKEN)

    @pytest.fixture
    def world(self, hub: FixtureHub, backend: HfBackend) -> World:
        hub.token(TOKEN, name="me", grants=["owner/name"])
        hub.token(OTHER, name="other")
        repo = hub.repo("owner/name", FILES, private=True)
        hub.repo("me/nothing", {}, private=True)
        hub.repo("owner/closed", FILES, private=True)
        name = self.file_name

        def change() -> bytes:
            new = bytes(reversed(FILES[name]))
            repo.commit({**FILES, name: new})
            return new

        sub = {path.removeprefix("sub/"): data for path, data in FILES.items() if path.startswith("sub/")}
        settings = type(backend.settings)(endpoint=hub.url, token=type(backend.settings.token)(OTHER))
        return World(
            file=f"hf://owner/name/{name}",
            content=FILES[name],
            missing="hf://owner/name/config.jsn",
            trees={"hf://owner/name": FILES, "hf://owner/name/sub": sub, "hf://me/nothing": {}},
            missing_repository="hf://owner/none",
            missing_revision="hf://owner/name@none",
            empty="hf://owner/name/empty.txt",
            same=(f"hf://models/owner/name@main/{name}", f"https://huggingface.co/owner/name/resolve/main/{name}?x=1"),
            denied="hf://owner/closed/config.json",
            stranger=HfBackend(settings, backend.tools),
            secrets=(TOKEN, OTHER),
            change=change,
        )


class TestAnLfsFile(PromisesOfHf):
    file_name = "model.safetensors"


class TestAGitFile(PromisesOfHf):
    file_name = "config.json"
