"""The conformance kit finds what is broken, names it, says what to do, and finds nothing else.

Each backend here breaks one promise, in a way that authors really do.
"""

import inspect
import itertools
import threading

import attrs
import pytest

from dfly.backend import NoOptions, Request, Secret, option
from dfly.caches import CachedFile, CacheLayout, CachePlan
from dfly.errors import AccessDenied, NotFound, Unsupported
from dfly.testing.contract import PROMISES, BackendContract, BrokenPromise
from dfly.testing.memory import MemoryBackend, MemoryOptions
from dfly.values import Digest, Snapshot


class ShoutsItsScheme(MemoryBackend):
    schemes = ("memory", "Memory")


class LeavesOutItsEntryPoint(MemoryBackend):
    installed = True


class HidesAnOption(MemoryBackend):
    @attrs.frozen
    class options(MemoryOptions):
        region: str = "moon"


class HidesWhereItAsks(MemoryBackend):
    @attrs.frozen
    class options(MemoryOptions):
        endpoint: str = option("https://hub.example", help="where the hub is")


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


class PinsNothing(MemoryBackend):
    def _entry(self, place, path, *, name):
        return attrs.evolve(super()._entry(place, path, name=name), digests=(), validator="latest")


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


class ListsTheWholeFolderOfAFile(MemoryBackend):
    def list(self, url):
        place = self._place(url)
        return super().list(place.url("") if place.path in self._files(place) else url)


class HashesOnlyInStat(MemoryBackend):
    def list(self, url):
        snapshot = super().list(url)
        if self._place(url).path in self._files(self._place(url)):
            return snapshot
        return snapshot.only([attrs.evolve(e, digests=()) for e in snapshot.entries])


class ForgetsTheFolder(MemoryBackend):
    def get(self, entry, start, stop):
        place = self._place(entry.url)
        path = "weights.bin" if "/" in place.path else place.path
        return super().get(attrs.evolve(entry, url=place.url(path)), start, stop)


class NamesTheSnapshotAfterItsUrl(MemoryBackend):
    def list(self, url):
        snapshot = super().list(url)
        return attrs.evolve(snapshot, name=snapshot.source)


class CoversWhateverIsAsked(MemoryBackend):
    def covers(self, url, snapshot, *, names=(), revisions=()):
        return snapshot


def keep_all_in_one(snapshot, order):
    view = "tiny/views/" + snapshot.source.partition("@")[2].partition("/")[0]
    files = [
        CachedFile(entry=entry, blob="tiny/blobs/all", link=f"{view}/{entry.url.partition('@')[2].partition('/')[2]}")
        for entry in snapshot.entries
    ]
    return CachePlan(root="tiny", view=view, files=tuple(files), aside=".new")


class AsksWhatItCovers(MemoryBackend):
    def covers(self, url, snapshot, **known):
        self.tools.client.get("http://127.0.0.1:9/is-anybody-there")
        return super().covers(url, snapshot, **known)


class KeepsAllInOneBlob(MemoryBackend):
    cache_layout = CacheLayout(help="a cache", directory=lambda env: "/cache", arrange=keep_all_in_one)


class StopsOneByteLate(MemoryBackend):
    def get(self, entry, start, stop):
        return super().get(entry, start, None if stop is None else stop + 1)


class StartsAnewWithoutAStop(MemoryBackend):
    def get(self, entry, start, stop):
        return super().get(entry, 0 if stop is None else start, stop)


class AsksForByteZero(MemoryBackend):
    def get(self, entry, start, stop):
        if entry.size == 0:
            raise Unsupported(f"{entry.path}: the range bytes=0- cannot be satisfied")
        return super().get(entry, start, stop)


class FillsEmptyFiles(MemoryBackend):
    def get(self, entry, start, stop):
        return super().get(entry, start, stop) if entry.size else iter((b"\n",))


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


class CannotBeClosed(MemoryBackend):
    def get(self, entry, start, stop):
        return iter(list(super().get(entry, start, stop)))


class FollowsTheBranch(MemoryBackend):
    def get(self, entry, start, stop):
        place = self._place(entry.url)
        latest = self.hub.revisions(place.repository)[-1]
        return super().get(attrs.evolve(entry, url=entry.url.replace(place.revision, latest)), start, stop)


class LocatesInItsOwnScheme(MemoryBackend):
    def locate(self, entry):
        return Request(url=entry.url)


class LocatesOneRange(MemoryBackend):
    def locate(self, entry):
        return Request(url="https://memory.example/file", headers={"Range": f"bytes=0-{entry.size}"})


class LocatesByAWeakEtag(MemoryBackend):
    def locate(self, entry):
        return Request(url="https://memory.example/file", etag=f'W/"{entry.validator}"')


class LeaksKeyErrors(MemoryBackend):
    def stat(self, url):
        place = self._place(url)
        try:
            return super().stat(url)
        except NotFound:
            return self._entry(place, place.path, name="")


class ListsNothingWhereNothingIs(MemoryBackend):
    def list(self, url):
        place = self._place(url)
        if any(path == place.path or path.startswith(place.path) for path in self._files(place)) or not place.path:
            return super().list(url)
        return Snapshot(place.url(place.path), place.path, (), place.revision)


class ClosesTheDoorWithoutAWord(MemoryBackend):
    def _place(self, url):
        try:
            return super()._place(url)
        except AccessDenied as error:
            raise AccessDenied(error.message) from error


class BelievesThatAllExists(MemoryBackend):
    def exists(self, url):
        return bool(self._place(url))


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


class NamesTheTokenWhereNothingIs(MemoryBackend):
    def stat(self, url):
        try:
            return super().stat(url)
        except NotFound as error:
            asked = f" for {self.settings.token.reveal()}" if error.kind == "revision" else ""
            raise NotFound(f"{error.message}{asked}", kind=error.kind) from error


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
    (LeavesOutItsEntryPoint, "entry-point", 'add memory = "<module>" to [project.entry-points.dfly]'),
    (HidesAnOption, "options.flags", "no flag for ['region']"),
    (HidesWhereItAsks, "options.flags", "option(..., endpoint=True)"),
    (DemandsASetting, "options.defaults", "give each option a default"),
    (ShowsItsToken, "options.secret", "--memory-token shows its value"),
    (NamesFilesByTheirFolder, "stat.path", "has a folder in it"),
    (PinsNothing, "stat.fresh", "names two contents"),
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
    (ListsTheWholeFolderOfAFile, "list.one-file", "return a snapshot whose only entry is what stat gives"),
    (HashesOnlyInStat, "list.same-as-stat", "build both in one function"),
    (ForgetsTheFolder, "list.bytes", "onnx/model.onnx leads to other bytes"),
    (NamesTheSnapshotAfterItsUrl, "snapshot.name", "give the last part of the URL that is a name"),
    (CoversWhateverIsAsked, "covers", "covers(memory://tiny), told from the snapshot of memory://tiny/weights.bin"),
    (AsksWhatItCovers, "covers", "asked http://127.0.0.1:9/is-anybody-there"),
    (KeepsAllInOneBlob, "cache", "tiny/blobs/all would be the content of two different files"),
    (StopsOneByteLate, "get.exact", "get(entry, 0, 1) yielded 2 bytes instead of 1"),
    (StartsAnewWithoutAStop, "get.to-the-end", "yielded 40000 bytes instead of 20000"),
    (AsksForByteZero, "get.empty", "raised Unsupported: empty.txt: the range bytes=0- cannot be satisfied"),
    (FillsEmptyFiles, "get.empty", "an empty file yielded 1 bytes"),
    (YieldsViews, "get.chunks", "yielded a memoryview"),
    (SharesItsCursor, "get.threads", "keep what belongs to one get in local variables"),
    (CannotBeClosed, "get.abandon", "make get a generator"),
    (FollowsTheBranch, "get.pinned", "follows the change"),
    (LocatesInItsOwnScheme, "locate", "give an http(s) URL, or override get instead"),
    (LocatesOneRange, "locate", "leave ranges and conditions to the core"),
    (LocatesByAWeakEtag, "locate", "a weak one pins nothing"),
    (LeaksKeyErrors, "errors.tree", "KeyError: 'nowhere.bin'"),
    (ListsNothingWhereNothingIs, "errors.not-found", "instead of raising NotFound"),
    (ClosesTheDoorWithoutAWord, "errors.denied", "say which flag or page opens the door"),
    (BelievesThatAllExists, "exists", "affirms a file that is not there"),
    (SaysTheFileIsMissing, "errors.not-found-kind", "NotFound(..., kind='repository')"),
    (PutsTheTokenIntoTheUrl, "secrets", "a secret is in the snapshot"),
    (NamesTheTokenWhereNothingIs, "secrets", "a secret is in the error"),
    (AuthorizesFromMemory, "authorize", "a private snapshot says public=True"),
    (ForgetsWhatWasPut, "put", "wrote nothing that can be read"),
    (ClosesOnce, "close", "return quietly where nothing is left"),
]

TESTS = [name for name, _ in inspect.getmembers(BackendContract, inspect.isfunction) if name.startswith("test_")]


class Kit(BackendContract):
    __test__ = False


def finding(backend, world, name) -> BrokenPromise | None:
    kit = Kit()
    kit.installed = getattr(backend, "installed", False)
    test = getattr(kit, name)
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


def test_every_promise_is_broken_by_some_backend():
    assert {promise for _, promise, _ in BROKEN} == PROMISES.keys()


def test_nothing_is_found_in_a_backend_that_keeps_its_promises(new_memory):
    for name in TESTS:
        memory = new_memory()
        assert finding(memory.build(MemoryBackend), memory.world, name) is None
