"""A memory hub, and the world that describes it to the conformance kit."""

import random
from collections.abc import Callable

import attrs
import pytest

from dfly.backend import Backend, build_options
from dfly.testing.contract import World, lent_tools
from dfly.testing.memory import MemoryHub, memory_backend

TOKEN = "memory-token-7f3a"


def content(seed: int, size: int = 40_000) -> bytes:
    return random.Random(seed).randbytes(size)


def tiny_model() -> dict[str, bytes]:
    return {
        "weights.bin": content(1),
        "config.json": b'{"layers": 1}',
        "empty.txt": b"",
        "onnx/model.onnx": content(2, 20_000),
    }


@attrs.frozen
class Memory:
    """A private hub in memory and what is needed to try any backend class over it."""

    hub: MemoryHub
    world: World
    build: Callable[..., Backend]


@pytest.fixture(scope="session")
def tools():
    with lent_tools() as tools:
        yield tools


@pytest.fixture
def new_memory(tools):
    """Make a fresh hub, world and builder: some promises change what the hub holds."""

    def new() -> Memory:
        files = tiny_model()
        cls = memory_backend({"tiny": files, "bare": {}}, token=TOKEN)

        def change() -> bytes:
            cls.hub.commit("tiny", {**files, "weights.bin": content(3)})
            return content(3)

        def build(wanted: type[Backend], token: str = TOKEN) -> Backend:
            over_this_hub = type(wanted.__name__, (wanted,), {"hub": cls.hub})
            return over_this_hub(build_options(over_this_hub, {"token": token, "account": "me"}, {}), tools)

        world = World(
            file="memory://tiny/weights.bin",
            content=files["weights.bin"],
            missing="memory://tiny/nowhere.bin",
            trees={
                "memory://tiny": files,
                "memory://tiny/onnx": {"model.onnx": files["onnx/model.onnx"]},
                "memory://bare": {},
            },
            missing_repository="memory://nowhere",
            missing_revision="memory://tiny@nowhere/weights.bin",
            empty="memory://tiny/empty.txt",
            same=(f"memory://tiny@{cls.hub.revisions('tiny')[-1]}/weights.bin",),
            stranger=cls(build_options(cls, {"token": "wrong"}, {}), tools),
            secrets=(TOKEN,),
            change=change,
            writable="memory://tiny/new.bin",
        )
        return Memory(cls.hub, world, build)

    return new


@pytest.fixture
def memory(new_memory):
    return new_memory()
