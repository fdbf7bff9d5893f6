"""The conformance kit finds what is broken, names it, says what to do, and finds nothing else.

Each backend here breaks one promise, in a way that authors really do.
"""

import inspect
import itertools
import threading

import attrs
import pytest

from dfly.backend import NoOptions, Secret, option
from dfly.errors import NotFound
from dfly.testing.contract import BackendContract, BrokenPromise
from dfly.testing.memory import MemoryBackend, MemoryOptions
from dfly.values import Digest, Snapshot


class ShoutsItsScheme(MemoryBackend):
    schemes = ("memory", "Memory")


class HidesAnOption(MemoryBackend):
    @attrs.frozen
    class options(MemoryOptions):
        region: str = "moon"


class DemandsASetting(MemoryBackend):
    @attrs.frozen
    class options(MemoryOptions):
        account: str = option(attrs.NOTHING, help="whose account")


class ShowsItsToken(MemoryBackend):
    @attrs.frozen
    class options(NoOptions):
        token: str | None = option(help="what a private hub asks for")
        revision: str | None = option(help="the revision")

    def __init__(self, settings, tools):
        token = settings.token and Secret(settings.token)
        super().__init__(MemoryOptions(token=token, revision=settings.revision), tools)


class NamesFilesByTheirFolder(MemoryBackend):
    def stat(self, url):
        return attrs.evolve(super().stat(url), path="tiny/" + super().stat(url).path)

    def list(self, url):
        snapshot = super().list(url)
        one = len(snapshot.entries) == 1 and snapshot.entries[0].path == snapshot.name
        return attrs.evolve(snapshot, entries=[self.stat(url)]) if one else snapshot


class GuessesTheSize(MemoryBackend):
    def _entry(self, place, path, *, name):
        return attrs.evolve(super()._entry(place, path, name=name), size=4096)


class TakesTheRevisionForAHash(MemoryBackend):
    def _entry(self, place, path, *, name):
        wrong = Digest("sha256", (place.revision * 6)[:64])
        return attrs.evolve(super()._entry(place, path, name=name), digests=(wrong,), validator=None)


class CountsItsAnswers(MemoryBackend):
    answers = itertools.count()

    def stat(self, url):
        return attrs.evolve(super().stat(url), validator=f"answer-{next(self.answers)}")

    def list(self, url):
        # one counter a listing: only stat is wrong
        snapshot = super().list(url)
        return attrs.evolve(snapshot, entries=[self.stat(url)]) if self._is_file(url) else snapshot

    def _is_file(self, url):
        place = self._place(url)
        return place.path in self._files(place)


class LinksToTheWeb(MemoryBackend):
    def _entry(self, place, path, *, name):
        entry = super()._entry(place, path, name=name)
        return attrs.evolve(entry, url=entry.url.replace("memory://", "https://memory.example/"))

    def _place(self, url):
        return super()._place(url.replace("https://memory.example/", "memory://"))


class IdentifiesByRevision(MemoryBackend):
    def _entry(self, place, path, *, name):
        entry = super()._entry(place, path, name=name)
        return attrs.evolve(entry, identity=entry.url)


class ReadsFoldersAsFiles(MemoryBackend):
    def stat(self, url):
        place = self._place(url)
        if place.path not in self._files(place) and place.path != "nowhere.bin":
            return self.list(url).entries[0] if self.list(url).entries else super().stat("memory://tiny/empty.txt")
        return super().stat(url)


class ListsOnlyTheFirstPage(MemoryBackend):
    def list(self, url):
        snapshot = super().list(url)
        return snapshot.only(snapshot.entries[:3])


class ListsFromTheRoot(MemoryBackend):
    def list(self, url):
        snapshot, place = super().list(url), self._place(url)
        if place.path == "onnx":
            return snapshot.only([attrs.evolve(e, path=f"onnx/{e.path}") for e in snapshot.entries])
        return snapshot


class ListsAbsolutePaths(MemoryBackend):
    def list(self, url):
        snapshot = super().list(url)
        if self._place(url).path:
            return snapshot
        return snapshot.only([attrs.evolve(e, path=f"/{e.path}") for e in snapshot.entries])


class ListsWithoutPinning(MemoryBackend):
    def list(self, url):
        snapshot = super().list(url)
        unpinned = snapshot.source.replace(f"@{snapshot.revision}", "@latest")
        return attrs.evolve(snapshot, source=unpinned)


class StopsOneByteLate(MemoryBackend):
    def get(self, entry, start, stop):
        return super().get(entry, start, None if stop is None else stop + 1)


class StartsAnewWithoutAStop(MemoryBackend):
    def get(self, entry, start, stop):
        return super().get(entry, 0 if stop is None else start, stop)


class YieldsViews(MemoryBackend):
    def get(self, entry, start, stop):
        for chunk in super().get(entry, start, stop):
            yield memoryview(chunk)


class SharesItsCursor(MemoryBackend):
    lock = threading.Lock()

    def get(self, entry, start, stop):
        place = self._place(entry.url)
        data = self._files(place)[place.path]
        self.at, end = start, len(data) if stop is None else stop
        while self.at < end:
            chunk = data[self.at : min(end, self.at + 1000)]
            self.at += len(chunk)
            yield chunk


class FollowsTheBranch(MemoryBackend):
    def get(self, entry, start, stop):
        place = self._place(entry.url)
        latest = self.hub.revisions(place.repository)[-1]
        return super().get(attrs.evolve(entry, url=entry.url.replace(place.revision, latest)), start, stop)


class LeaksKeyErrors(MemoryBackend):
    def stat(self, url):
        place = self._place(url)
        try:
            return super().stat(url)
        except NotFound:
            return self._entry(place, place.path, name="")


class SaysTheFileIsMissing(MemoryBackend):
    def _place(self, url):
        try:
            place = super()._place(url)
            self._files(place)
        except NotFound as error:
            raise NotFound(error.message) from error
        return place


class PutsTheTokenIntoTheUrl(MemoryBackend):
    def list(self, url):
        snapshot = super().list(url)
        return attrs.evolve(snapshot, source=f"{snapshot.source}?token={self.settings.token.reveal()}")

    def _place(self, url):
        return super()._place(url.partition("?")[0])


class AuthorizesFromMemory(MemoryBackend):
    def list(self, url):
        snapshot = super().list(url)
        return Snapshot(snapshot.source, snapshot.name, snapshot.entries, snapshot.revision, public=True)


class ForgetsWhatWasPut(MemoryBackend):
    def put(self, path, url):
        self._place(url)


class ClosesOnce(MemoryBackend):
    def close(self):
        del self.settings


BROKEN = [
    (ShoutsItsScheme, "schemes", "a tuple of lower-case words"),
    (HidesAnOption, "options.flags", "no flag for ['region']"),
    (DemandsASetting, "options.defaults", "give each option a default"),
    (ShowsItsToken, "options.secret", "--memory-token shows its value"),
    (NamesFilesByTheirFolder, "stat.path", "has a folder in it"),
    (GuessesTheSize, "entry.size", "size 4096, has 40000 bytes"),
    (TakesTheRevisionForAHash, "entry.digests", "an ETag is none unless the hub says so"),
    (CountsItsAnswers, "stat.repeatable", "no clocks, no counters"),
    (LinksToTheWeb, "entry.url", "begin it with memory://"),
    (IdentifiesByRevision, "entry.identity", "leave the revision out of identity"),
    (ReadsFoldersAsFiles, "stat.not-a-file", "raise NotAFile from stat"),
    (ListsOnlyTheFirstPage, "list.complete", "lacks ['weights.bin']"),
    (ListsFromTheRoot, "list.relative", "has ['onnx/model.onnx']"),
    (ListsAbsolutePaths, "list.safe", "'/config.json': absolute"),
    (ListsWithoutPinning, "list.pinned", "put the pinned revision into source"),
    (StopsOneByteLate, "get.exact", "get(entry, 0, 1) yielded 2 bytes instead of 1"),
    (StartsAnewWithoutAStop, "get.to-the-end", "yielded 40000 bytes instead of 20000"),
    (YieldsViews, "get.chunks", "yielded a memoryview"),
    (SharesItsCursor, "get.threads", "keep what belongs to one get in local variables"),
    (FollowsTheBranch, "get.pinned", "follows the change"),
    (LeaksKeyErrors, "errors.tree", "KeyError: 'nowhere.bin'"),
    (SaysTheFileIsMissing, "errors.not-found-kind", "NotFound(..., kind='repository')"),
    (PutsTheTokenIntoTheUrl, "secrets", "a secret is in the snapshot"),
    (AuthorizesFromMemory, "authorize", "a private snapshot says public=True"),
    (ForgetsWhatWasPut, "put", "wrote nothing that can be read"),
    (ClosesOnce, "close", "return quietly where nothing is left"),
]

TESTS = [name for name, _ in inspect.getmembers(BackendContract, inspect.isfunction) if name.startswith("test_")]


class Kit(BackendContract):
    installed = False
    __test__ = False


def finding(backend, world, name) -> BrokenPromise | None:
    test = getattr(Kit(), name)
    given = {"backend": backend, "world": world}
    try:
        test(**{parameter: given[parameter] for parameter in inspect.signature(test).parameters})
    except BrokenPromise as found:
        return found
    except pytest.skip.Exception:
        return None
    return None


@pytest.mark.parametrize(("broken", "promise", "says"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_promise_is_named_and_no_other(broken, promise, says, new_memory):
    found = []
    for name in TESTS:
        memory = new_memory()
        world = attrs.evolve(memory.world, stranger=memory.build(broken, token="wrong"))
        found.append(finding(memory.build(broken), world, name))
    said = "\n".join(str(one) for one in found if one)
    assert {one.promise for one in found if one} == {promise}, said
    assert says in said
    assert said.count("what to do: ") == len([one for one in found if one])


def test_nothing_is_found_in_a_backend_that_keeps_its_promises(new_memory):
    for name in TESTS:
        memory = new_memory()
        assert finding(memory.build(MemoryBackend), memory.world, name) is None
