"""Every promise that dfly asks of a backend, tried on a shelf with three tales."""

import random

import pytest
from dfly_shelf import ShelfBackend
from shelves import Shelves

from dfly.backend import build_options
from dfly.testing.contract import BackendContract, World, lent_tools

FROG = random.Random(1).randbytes(30_000)
GRIMM = {"frog.bin": FROG, "more/wolf.txt": b"What big ears you have!"}
TALES = {"empty.txt": b"", **{f"grimm/{path}": body for path, body in GRIMM.items()}}


class TestShelf(BackendContract):
    @pytest.fixture
    def server(self):
        with Shelves() as server:
            server.publish("tales", "1", TALES)
            yield server

    @pytest.fixture
    def build(self, server):
        def build(token):
            return ShelfBackend(build_options(ShelfBackend, {"endpoint": server.url, "token": token}, {}), tools)

        with lent_tools() as tools:
            yield build

    @pytest.fixture
    def backend(self, build, server):
        return build(server.token)

    @pytest.fixture
    def world(self, build, server):
        def change():
            server.publish("tales", "2", {**TALES, "grimm/frog.bin": FROG[::-1]})
            return FROG[::-1]

        return World(
            file="shelf://tales/grimm/frog.bin",
            content=FROG,
            missing="shelf://tales/grimm/prince.txt",
            missing_repository="shelf://sagas",
            missing_revision="shelf://tales@0",
            trees={"shelf://tales": TALES, "shelf://tales@1/grimm": GRIMM},
            empty="shelf://tales/empty.txt",
            same=("shelf://tales@1/grimm/frog.bin",),
            stranger=build("another token"),
            secrets=(server.token,),
            change=change,
        )
