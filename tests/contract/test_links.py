"""The kit reads as the core does: links that run out are no broken promise, and links to newer content are found out."""

import math

import attrs
import pytest

from dfly.backend import Backend, Request
from dfly.errors import NotAFile
from dfly.testing.contract import BackendContract
from dfly.testing.memory import MemoryBackend
from dfly.testing.origin import FaultyOrigin

from .test_kit import finding


class Signed(MemoryBackend):
    """A hub in memory whose bytes are at a storage, on links that work once."""

    storage: FaultyOrigin
    get = Backend.get

    def locate(self, entry):
        place = self._place(entry.url)
        path = f"{place.revision}/{place.path}"
        self.storage.add(path, self._files(place)[place.path])
        return Request(url=self.storage.sign(path, uses=1), expires_at=math.inf)


class SignsTheNewest(Signed):
    def locate(self, entry):
        return super().locate(
            attrs.evolve(entry, url=entry.url.replace(self._place(entry.url).revision, self._newest()))
        )

    def _newest(self):
        return self.hub.revisions("tiny")[-1]


class ReturnsOnlyTheLink(Signed):
    def locate(self, entry):
        return super().locate(entry).url


class TakesFilesForFolders(MemoryBackend):
    def stat(self, url):
        raise NotAFile(url)


class FindsNothingToSay(MemoryBackend):
    def stat(self, url):
        self._place(url)


class ListsBareEntries(MemoryBackend):
    def list(self, url):
        return list(super().list(url).entries)


@pytest.fixture
def over_storage(memory):
    with FaultyOrigin(refuse_credentials=True) as storage:
        yield lambda cls: memory.build(type(cls.__name__, (cls,), {"storage": storage}))


class TestLinksThatWorkOnce(BackendContract):
    installed = False

    @pytest.fixture
    def backend(self, over_storage):
        return over_storage(Signed)

    @pytest.fixture
    def world(self, memory):
        return memory.world


def test_a_new_link_to_newer_content_is_found_out(over_storage, memory):
    found = finding(over_storage(SignsTheNewest), memory.world, "test_changed_content_is_never_mixed")
    assert "follows the change" in str(found)


@pytest.mark.parametrize(
    ("broken", "test", "says"),
    [
        (TakesFilesForFolders, "test_stat_names_the_file", "return an Entry for the URL of one file"),
        (FindsNothingToSay, "test_stat_names_the_file", "gave None"),
        (
            ListsBareEntries,
            "test_one_file_is_a_listing_of_one",
            "return a snapshot whose only entry is what stat gives",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_answer_at_all_is_said_at_once(memory, broken, test, says):
    assert says in str(finding(memory.build(broken), memory.world, test))


def test_what_is_no_request_is_named(over_storage, memory):
    found = finding(over_storage(ReturnsOnlyTheLink), memory.world, "test_a_located_request_is_complete")
    assert "return a dfly.Request" in str(found)


def test_promises_are_tried_in_the_order_in_which_a_reader_meets_them(request):
    """What is wrong with an entry comes before all that goes wrong because of it."""
    module = request.node.getparent(pytest.Module)
    (kit,) = (node for node in module.collect() if node.name == TestLinksThatWorkOnce.__name__)
    subjects = dict.fromkeys(test.function.__module__.rpartition(".")[2] for test in kit.collect())
    assert list(subjects) == ["declared", "resolved", "covered", "cached", "moved", "guarded"]
