"""What a seed peer resolved is known after a restart, by every name that it was asked for, and without anybody's secrets."""

import json
import threading

import attrs
import pytest

from dfly.errors import OutputError
from dfly.seed.operators.remembered import Memory, shareable
from dfly.values import Digest, Entry, Snapshot
from dfly.wire import Ask, Resolved

MAIN = Ask(url="hub://o/r@main/sub", recursive=True)


def snapshot(letter: str, *, public: bool = True, files: int = 2) -> Snapshot:
    """A folder at the commit `letter` × 40: one large file, small ones, and an empty one."""
    large = Entry("large", 1 << 30, f"hub://o/r@{letter}/large", "large", (Digest("sha256", letter * 64),))
    small = [
        Entry(f"small{n}", 3, f"hub://o/r@{letter}/{n}", f"s{n}", (Digest("sha256", f"{n}" * 64),))
        for n in range(files)
    ]
    empty = Entry("empty", 0, "hub://o/r/empty", "e", validator="v")
    return Snapshot(f"hub://o/r@{letter * 40}/sub", "sub", (large, *small, empty), revision=letter * 40, public=public)


ONE, TWO = snapshot("a"), snapshot("b")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "snapshots"


@pytest.fixture
def memory(folder):
    return Memory(str(folder), clock=Clock())


def note(memory, found=ONE, ask=MAIN, **more):
    return memory.note(task=more.pop("task", found.id), ask=ask, snapshot=found, **more)


def timeless(memory):
    """All of it, but for when each was used: that is a file's time, which a disk rounds."""
    return [attrs.evolve(found, used=0.0) for found in memory.all()]


def test_a_restart_forgets_nothing(memory, folder):
    note(memory)
    note(memory, TWO, options={"hub-endpoint": ("https://mirror",)})
    memory.change(ONE.id, pinned=True)
    again = Memory(str(folder))
    assert sorted(timeless(again), key=lambda f: f.task) == sorted(timeless(memory), key=lambda f: f.task)
    assert again.get(ONE.id).pinned
    assert again.get(TWO.id).options == {"hub-endpoint": ("https://mirror",)}
    assert again.get(TWO.id).snapshot == TWO


def test_it_goes_by_every_name_that_it_was_asked_for(memory):
    note(memory)
    note(memory, ask=attrs.evolve(MAIN, url="hub://o/r@v1/sub"))
    note(memory, ask=attrs.evolve(MAIN, url=ONE.source))
    found = memory.get(ONE.id)
    assert found.revisions == ("main", "v1")
    for name in (ONE.source, "hub://o/r@main/sub", "hub://o/r@v1/sub", ONE.id):
        assert memory.named(name) == [found]
    assert memory.named("hub://o/r@v2/sub") == []


def test_a_revision_may_be_named_by_an_option(memory):
    note(memory, ask=attrs.evolve(MAIN, url="hub://o/r/sub"), options={"hub-revision": ("dev",)})
    assert memory.get(ONE.id).revisions == ("dev",)


def test_what_a_branch_means_now_is_told_from_what_it_meant(memory):
    note(memory)
    note(memory, TWO)
    note(memory, TWO)
    before, now = memory.get(ONE.id), memory.get(TWO.id)
    assert now.urls[MAIN.url] > before.urls[MAIN.url]
    note(memory, ONE)
    assert memory.get(ONE.id).urls[MAIN.url] > memory.get(TWO.id).urls[MAIN.url]


def test_another_choice_of_files_is_another_name(memory):
    note(memory)
    note(memory, TWO, ask=attrs.evolve(MAIN, include=("*.bin",)))
    at = memory.get(ONE.id).urls
    note(memory)
    assert memory.get(ONE.id).urls == at


def test_a_private_one_is_known_by_its_sealed_id(memory, folder):
    hidden = snapshot("c", public=False)
    note(memory, hidden, task=f"{hidden.id}-seal")
    found = Memory(str(folder)).get(f"{hidden.id}-seal")
    assert found.snapshot == hidden
    assert memory.named(hidden.id) == [memory.get(f"{hidden.id}-seal")]


@pytest.mark.parametrize(
    "url",
    ["https://me:hunter2@host/f", "https://host/f?X-Amz-Signature=hunter2", "https://host/f#hunter2"],
    ids=["user-info", "signature", "fragment"],
)
def test_no_secret_of_a_link_gets_to_the_disk(memory, folder, url):
    plain = Snapshot("https://host/f", "f", (Entry("f", 1, "https://host/f", "i", validator="v"),))
    known = Resolved(task="t", snapshot=plain, seal="hunter2", ticket="hunter2")
    note(memory, plain, ask=Ask(url=url, known=known, fallback=True))
    found = memory.get(plain.id)
    assert found.ask == Ask(url="https://host/f")
    assert shareable(url, plain) == "https://host/f"
    (file,) = folder.iterdir()
    assert "hunter2" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_its_blobs_are_its_contents_and_the_pack_that_they_travel_in(memory):
    found = note(memory)
    blobs = found.blobs()
    assert {f"sha256-{c * 64}" for c in "a01"} < blobs
    (pack,) = (blob for blob in blobs if blob.startswith("pack-"))
    assert blobs == {f"sha256-{c * 64}" for c in "a01"} | {pack}


def test_the_longest_unused_is_forgotten_first_but_not_what_is_pinned(folder):
    memory = Memory(str(folder), most=2, clock=Clock())
    note(memory)
    memory.change(ONE.id, pinned=True)
    note(memory, TWO)
    note(memory, snapshot("c"))
    assert [found.task for found in memory.all()] == [ONE.id, snapshot("c").id]
    assert [found.task for found in Memory(str(folder)).all()] != []
    assert len(list(folder.iterdir())) == 2


def test_forgetting_is_for_good(memory, folder):
    note(memory)
    memory.forget(ONE.id)
    memory.forget("never known")
    assert memory.all() == []
    assert not memory.change(ONE.id, pinned=True)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("time", ["1e999", "1" + "0" * 400, "-1", '"noon"', "NaN", "true"], ids=range(6))
@pytest.mark.parametrize("field", ["since", "urls"])
def test_a_time_that_is_none_makes_a_file_unreadable(memory, folder, field, time):
    note(memory)
    (file,) = folder.iterdir()
    said = json.loads(file.read_text())
    said[field] = {MAIN.url: "TIME"} if field == "urls" else "TIME"
    file.write_text(json.dumps(said).replace('"TIME"', time))
    assert Memory(str(folder)).all() == []


@pytest.mark.parametrize(
    "content", ["{half", "[]", '{"format": 99}', '{"format": 1, "resolved": {}}', "[" * 100_000], ids=range(5)
)
def test_a_file_that_cannot_be_read_is_left_out(memory, folder, content):
    note(memory)
    (folder / "other.json").write_text(content)
    again = Memory(str(folder))
    assert [found.task for found in again.all()] == [ONE.id]


def test_a_half_written_file_leaves_the_one_before(memory, folder):
    note(memory)
    (file,) = folder.iterdir()
    file.with_suffix(".json.new").write_text(json.dumps({"format": 1})[:5])
    assert [found.task for found in Memory(str(folder)).all()] == [ONE.id]


def test_a_directory_that_others_can_write_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(OutputError, match="written by everybody"):
        Memory(str(folder))


def test_many_threads_may_note_at_once(memory, folder):
    names = [f"hub://o/r@v{n}/sub" for n in range(16)]
    threads = [threading.Thread(target=note, args=(memory, ONE, attrs.evolve(MAIN, url=name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(memory.get(ONE.id).urls) == set(names)
    assert set(Memory(str(folder)).get(ONE.id).urls) == set(names)
