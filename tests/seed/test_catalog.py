import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from dfly.backend import Secret, build_options, option
from dfly.errors import AccessDenied, NotFound, OriginUnavailable, UnknownScheme, UsageError
from dfly.plugins import Plugins
from dfly.seed.access import Access
from dfly.seed.catalog import ADMITTED, Catalog
from dfly.seed.keys import Keys
from dfly.seed.options import caller_options
from dfly.seed.seals import ClusterSeals
from dfly.testing.memory import memory_backend
from dfly.wire import Ask

from .clocks import Clock

FILES = {"a.bin": b"a" * 10, "b.txt": b"b", "c.txt": b"c"}
GOOD, ALSO, BAD = {"memory-token": ("good",)}, {"memory-token": ("also",)}, {"memory-token": ("bad",)}


class Opened:
    """Backends by options, as the process's own opener has them."""

    def __init__(self):
        self.built = []
        self.lock = threading.Lock()

    def get(self, backend_class, options):
        with self.lock:
            for settings, backend in self.built:
                if settings == options:
                    return backend
            backend = backend_class(options, None)
            self.built.append((options, backend))
            return backend


class World:
    """A hub in memory that counts its questions and can be down, and a catalogue over it."""

    def __init__(self, *, tokens=(), allow_source=()):
        base, world = memory_backend({"tiny": FILES}), self

        class Counting(base):
            def list(self, url):
                world.asked.append(("list", self.token()))
                world.open.wait(10)
                world.check(self)
                return attrs.evolve(super().list(url), public=not world.tokens)

            def authorize(self, snapshot):
                world.asked.append(("authorize", self.token()))
                world.check(self, refuse=False)
                return not world.tokens or self.token() in world.tokens

            def token(self):
                return self.settings.token.reveal() if self.settings.token else ""

        self.backend, self.tokens, self.asked, self.down = Counting, set(tokens), [], False
        self.open = threading.Event()
        self.open.set()
        self.clock = Clock()
        self.pool = ThreadPoolExecutor(8)
        self.catalog = Catalog(
            plugins=Plugins(extra=[Counting]),
            backends=Opened(),
            access=Access(allow_source=allow_source),
            keys=(keys := Keys.passing()),
            seals=ClusterSeals(keys=keys),
            pool=self.pool,
            clock=self.clock,
        )

    def check(self, backend, *, refuse=True):
        if self.down:
            raise OriginUnavailable("the hub is down")
        if refuse and self.tokens and backend.token() not in self.tokens:
            raise AccessDenied("private")

    def resolve(self, url="memory://tiny", given=None, **more):
        return asyncio.run(
            self.catalog.resolve(Ask(url=url, recursive=more.pop("recursive", True), **more), given or {})
        )


def test_a_hundred_who_ask_at_once_are_one_question():
    world = World()
    world.open.clear()

    async def scene():
        asks = [
            asyncio.create_task(world.catalog.resolve(Ask(url="memory://tiny", recursive=True), {})) for _ in range(100)
        ]
        while not world.asked:
            await asyncio.sleep(0.001)
        world.open.set()
        return await asyncio.gather(*asks)

    answers = asyncio.run(scene())
    assert len({answer.task for answer in answers}) == 1
    assert world.asked == [("list", "")]


def test_one_who_stops_waiting_does_not_stop_the_others():
    world = World()
    world.open.clear()

    async def scene():
        first, second = (
            asyncio.create_task(world.catalog.resolve(Ask(url="memory://tiny", recursive=True), {})) for _ in range(2)
        )
        while not world.asked:
            await asyncio.sleep(0.001)
        first.cancel()
        world.open.set()
        return await second

    assert asyncio.run(scene()).snapshot.entries


def test_a_branch_is_asked_for_again_after_a_while_and_not_before():
    world = World()
    first = world.resolve()
    world.backend.hub.commit("tiny", {"a.bin": b"new"})
    assert world.resolve().task == first.task
    world.clock.now += 31
    assert world.resolve().task != first.task


def test_a_commit_is_never_asked_for_again():
    world = World()
    pinned = world.resolve().snapshot.source
    world.asked.clear()
    for _ in range(3):
        world.resolve(pinned)
        world.clock.now += 1000
    assert len(world.asked) == 1


def test_globs_choose_from_one_listing():
    world = World()
    assert [e.path for e in world.resolve(include=("*.txt",)).snapshot.entries] == ["b.txt", "c.txt"]
    assert [e.path for e in world.resolve(exclude=("*.txt",)).snapshot.entries] == ["a.bin"]
    assert len(world.asked) == 1


def test_one_file_without_r_is_a_snapshot_of_one():
    assert [e.path for e in World().resolve("memory://tiny/a.bin", recursive=False).snapshot.entries] == ["a.bin"]


def test_globs_without_r_are_a_mistake():
    with pytest.raises(UsageError, match="--include"):
        World().resolve("memory://tiny/a.bin", recursive=False, include=("*",))


def test_another_token_is_tried_on_the_hub_before_it_gets_anything():
    world = World(tokens=["good", "also"])
    first = world.resolve(given=GOOD)
    assert world.resolve(given=ALSO).task == first.task
    with pytest.raises(AccessDenied) as denied:
        world.resolve(given=BAD)
    assert denied.value.hint == "check --memory-token"
    with pytest.raises(AccessDenied):
        world.resolve()
    tried = [("authorize", token) for token in ("good", "also", "bad", "")]  # a listing that is shown opens nothing yet
    assert world.asked == [("list", "good"), *tried]


def test_a_yes_is_believed_for_a_minute():
    world = World(tokens=["good", "also"])
    pinned = world.resolve(given=GOOD).snapshot.source
    world.resolve(pinned, given=GOOD)
    world.resolve(pinned, given=ALSO)
    world.asked.clear()
    world.resolve(pinned, given=ALSO)
    assert world.asked == []
    world.tokens.discard("also")
    world.clock.now += ADMITTED + 1
    with pytest.raises(AccessDenied):
        world.resolve(pinned, given=ALSO)


def test_a_bad_token_that_comes_first_does_not_spoil_it_for_a_good_one():
    world = World(tokens=["good"])
    world.open.clear()

    async def scene():
        bad = asyncio.create_task(world.catalog.resolve(Ask(url="memory://tiny", recursive=True), BAD))
        while not world.asked:
            await asyncio.sleep(0.001)
        good = asyncio.create_task(world.catalog.resolve(Ask(url="memory://tiny", recursive=True), GOOD))
        for _ in range(10):
            await asyncio.sleep(0.001)
        world.open.set()
        return await asyncio.gather(bad, good, return_exceptions=True)

    bad, good = asyncio.run(scene())
    assert isinstance(bad, AccessDenied)
    assert good.snapshot.entries


def test_the_seed_peers_own_token_opens_nothing_for_a_node_without_one(monkeypatch):
    monkeypatch.setenv("DFLY_MEMORY_TOKEN", "good")
    with pytest.raises(AccessDenied):
        World(tokens=["good"]).resolve()


def test_while_the_hub_is_down_those_it_let_in_are_served():
    world = World(tokens=["good", "also"])
    first = world.resolve(given=GOOD)
    world.clock.now += 1000
    world.down = True
    assert world.resolve(given=GOOD).task == first.task
    with pytest.raises(OriginUnavailable):
        world.resolve(given=ALSO)


def test_while_the_hub_is_down_a_public_snapshot_is_served_to_all():
    world = World()
    first = world.resolve()
    world.clock.now += 1000
    world.down = True
    assert world.resolve(given=BAD).task == first.task


def test_a_hub_that_was_never_reached_is_an_error():
    world = World()
    world.down = True
    with pytest.raises(OriginUnavailable):
        world.resolve()


def test_the_task_of_a_private_snapshot_cannot_be_guessed_and_that_of_a_public_one_is_its_id():
    private, public = World(tokens=["good"]).resolve(given=GOOD), World().resolve()
    assert public.task == public.snapshot.id
    assert private.task != private.snapshot.id


def test_what_nothing_pins_is_a_task_of_its_own_each_time():
    world = World()
    plain = world.backend.list

    def unpinned(self, url):
        snapshot = plain(self, url)
        return snapshot.only(attrs.evolve(e, digests=(), validator=None) for e in snapshot.entries)

    world.backend.list = unpinned
    first = world.resolve()
    assert world.resolve().task == first.task
    world.clock.now += 31
    assert world.resolve().task != first.task


def test_unknown_schemes_and_missing_repositories_are_named():
    with pytest.raises(UnknownScheme, match="gopher"):
        World().resolve("gopher://x")
    with pytest.raises(NotFound, match="nowhere"):
        World().resolve("memory://nowhere")


def test_only_allowed_sources_are_resolved():
    world = World(allow_source=("memory://tiny", "memory://tiny/*"))
    world.resolve()
    with pytest.raises(AccessDenied, match="allow-source"):
        world.resolve("memory://other")
    assert len(world.asked) == 1


@attrs.frozen
class HubOptions:
    token: Secret | None = option(help="the user's", secret=True, travels=True, fallback=lambda: "from the token file")
    role: Secret | None = option(help="the machine's", secret=True)
    endpoint: str = option("https://hub", help="where", endpoint=True)
    revision: str | None = option(help="which")


class Hub(memory_backend({})):
    schemes, options, prefix = ("hub",), HubOptions, "hub"


ENV = {"DFLY_HUB_TOKEN": "the seed peer's", "DFLY_HUB_ROLE": "machine", "DFLY_HUB_ENDPOINT": "https://mirror"}


def test_a_callers_secret_is_its_own_or_none():
    mine = caller_options(Hub, {"hub-token": ("mine",)}, ENV)
    nobodys = caller_options(Hub, {}, ENV)
    assert mine.settings.token.reveal() == "mine"
    assert nobodys.settings.token is None
    assert (bool(mine.secrets), nobodys.secrets) == (True, "")
    assert "mine" not in repr(mine)


def test_tokens_do_not_split_the_question_and_revisions_do():
    one, two = (caller_options(Hub, {"hub-token": (t,)}, ENV) for t in ("a", "b"))
    assert one.content == two.content
    assert one.secrets != two.secrets
    assert caller_options(Hub, {"hub-revision": ("v2",)}, ENV).content != one.content


def test_the_machines_own_secret_goes_to_its_own_endpoint_only():
    assert caller_options(Hub, {}, ENV).settings.role.reveal() == "machine"
    same = caller_options(Hub, {"hub-endpoint": ("https://mirror",)}, ENV)
    assert (same.settings.role.reveal(), same.endpoints) == ("machine", ())
    evil = caller_options(Hub, {"hub-endpoint": ("https://evil",)}, ENV)
    assert (evil.settings.role, evil.endpoints) == (None, ("https://evil",))


def test_what_must_not_travel_is_refused_when_it_does():
    with pytest.raises(UsageError, match="--hub-role"):
        caller_options(Hub, {"hub-role": ("x",)}, ENV)


def test_without_a_caller_the_options_are_the_machines():
    assert build_options(Hub, {}, ENV).token.reveal() == "the seed peer's"
