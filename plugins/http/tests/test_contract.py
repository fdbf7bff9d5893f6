"""The http backend keeps every promise, on servers of each kind."""

import math

import attrs
import pytest

from dfly.testing import faults
from dfly.testing.contract import BackendContract, World

from .conftest import some_bytes

TOKEN = "hush-token-1"
PASSWORD = "hush-password-1"


def world_of(origin, content) -> World:
    return World(
        file=origin.add("m/model.bin", content),
        content=content,
        missing=origin.url_of("m/nowhere.bin"),
        empty=origin.add("m/empty.bin", b""),
        same=(origin.url_of("m/model.bin").replace("http://", "HTTP://") + "#fragment",),
        change=lambda: replaced(origin, "m/model.bin"),
    )


def replaced(origin, path) -> bytes:
    origin.replace(path, some_bytes(2))
    return some_bytes(2)


def whole_instead_of_a_part(exchange: faults.Exchange) -> None:
    if exchange.reply.status == 206:  # a 412 stays what it is
        faults.no_range()(exchange)


class TestPlainServer(BackendContract):
    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def world(self, origin, content):
        return world_of(origin, content)


class TestServerWithoutHead(TestPlainServer):
    @pytest.fixture
    def world(self, origin, content):
        for path in ("m/model.bin", "m/empty.bin"):
            origin.fault(path, faults.status(405), times=math.inf, when=lambda seen: seen.method == "HEAD")
        return world_of(origin, content)


class TestServerWithoutRanges(TestPlainServer):
    @pytest.fixture
    def world(self, origin, content):
        origin.fault("m/model.bin", whole_instead_of_a_part, times=math.inf)
        return attrs.evolve(world_of(origin, content), ranges=False)


class TestServerWithoutLengthsOrValidators(TestPlainServer):
    @pytest.fixture
    def world(self, origin, content):
        world = world_of(origin, content)
        origin.add("m/model.bin", content, etag="")
        origin.fault("m/model.bin", faults.no_range(), faults.chunked(), times=math.inf)
        return attrs.evolve(world, ranges=False, change=None)


class TestServerThatRedirectsToSignedLinks(TestPlainServer):
    @pytest.fixture
    def world(self, origin, cdn, content):
        world = world_of(origin, content)
        cdn.add("stored", content)
        origin.redirect("m/model.bin", lambda: cdn.sign("stored", uses=1000))
        yield attrs.evolve(world, secrets=("X-Amz-Signature",), change=lambda: replaced(cdn, "stored"))
        assert cdn.leaks == []


class TestServerThatAsksForAHeader(TestPlainServer):
    @pytest.fixture
    def backend(self, build):
        return build(header=(f"X-Token: {TOKEN}",))

    @pytest.fixture
    def world(self, origin, build, content):
        world = world_of(origin, content)
        for path in ("m/model.bin", "m/empty.bin"):
            origin.fault(path, faults.status(403), times=math.inf, when=lambda s: s.headers.get("x-token") != TOKEN)
        origin.add("m/denied.bin", content)
        origin.fault("m/denied.bin", faults.status(403), times=math.inf)
        return attrs.evolve(
            world, denied=origin.url_of("m/denied.bin"), stranger=build(header=("X-Token: other",)), secrets=(TOKEN,)
        )


class TestOpenServerAskedWithUserInfoAndSignatures(TestPlainServer):
    @pytest.fixture
    def world(self, origin, content):
        world = world_of(origin, content)
        same = (
            world.file.replace("://", f"://me:{PASSWORD}@"),
            f"{world.file}?X-Amz-Signature={TOKEN}&X-Amz-Expires=60",
            f"{world.file}?Signature={TOKEN}&Expires=60",
        )
        return attrs.evolve(world, same=same, secrets=(TOKEN, PASSWORD, "bWU6"))
