"""The promises that every backend makes, kept by this one."""

import random
from collections.abc import Callable, Iterator

import pytest

from dfly.backend import Secret
from dfly.testing.contract import BackendContract, World
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.settings import ModelScopeSettings
from dfly_modelscope.testing import FixtureHub

TOKEN, OTHER = "ms-canary", "ms-stranger"
CONTENT = random.Random(1).randbytes(50_000)
FILES = {
    "model.safetensors": CONTENT,
    "config.json": CONTENT[:18_000],
    "sub/dir/a b#c?%20+.txt": b"odd",
    "empty.txt": b"",
}


class PromisesOfModelScope(BackendContract):
    kind = ""
    file_name: str

    @pytest.fixture
    def backend(self, backend: Callable[..., ModelScopeBackend]) -> ModelScopeBackend:
        return backend(token=TOKEN)

    @pytest.fixture
    def world(self, hub: FixtureHub, backend: ModelScopeBackend) -> World:
        kind, name = self.kind, self.file_name
        hub.token(TOKEN, name="me", grants=["owner/name"])
        hub.token(OTHER, name="other")
        repo = hub.repo(f"{kind}owner/name", FILES, private=True)
        hub.repo(f"{kind}me/nothing", {}, private=True)
        hub.repo(f"{kind}owner/closed", FILES, private=True)

        def change() -> bytes:
            new = bytes(reversed(FILES[name]))
            repo.commit({**FILES, name: new})
            return new

        sub = {path.removeprefix("sub/"): data for path, data in FILES.items() if path.startswith("sub/")}
        start, plural = f"modelscope://{kind}", kind or "models/"
        return World(
            file=f"{start}owner/name/{name}",
            content=FILES[name],
            missing=f"{start}owner/name/config.jsn",
            trees={f"{start}owner/name": FILES, f"{start}owner/name/sub": sub, f"{start}me/nothing": {}},
            missing_repository=f"{start}owner/none",
            missing_revision=f"{start}owner/name@none",
            empty=f"{start}owner/name/empty.txt",
            same=(
                f"modelscope://{plural}owner/name@master/{name}",
                f"https://modelscope.cn/{plural}owner/name/resolve/master/{name}?x=1",
            ),
            denied=f"{start}owner/closed/config.json",
            stranger=ModelScopeBackend(ModelScopeSettings(endpoint=hub.url, token=Secret(OTHER)), backend.tools),
            secrets=(TOKEN, OTHER),
            change=change,
        )


class TestAnLfsFile(PromisesOfModelScope):
    file_name = "model.safetensors"


class TestAGitFile(PromisesOfModelScope):
    file_name = "config.json"


class TestAFileOfADataset(PromisesOfModelScope):
    kind = "datasets/"
    file_name = "model.safetensors"


class TestAHubThatTellsNoHead(PromisesOfModelScope):
    file_name = "config.json"

    @pytest.fixture
    def hub(self) -> Iterator[FixtureHub]:
        with FixtureHub(tells_head="no", part_status=206) as running:
            yield running
