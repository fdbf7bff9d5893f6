"""What a hub's own cache looks like on disk, step by step, whatever the hub."""

import os

import attrs
import pytest

from dfly.caches import CachedFile, CachePlan
from dfly.errors import OutputError, PluginError, UnsafePath
from dfly.output.linked import LinkedCache, elsewhere
from dfly.store.hashing import hash_file


@pytest.fixture
def arranged(entry, tmp_path):
    """`arranged(path=bytes, …)`: a cache in which these files' contents are in place."""

    def make(files, *, revision="c1", refs=None, notes=None):
        kept = []
        for path, data in files.items():
            file = entry(path, data)
            kept.append(
                CachedFile(entry=file, blob=f"repo/blobs/{file.digest('sha256')}", link=f"repo/views/{revision}/{path}")
            )
            blob = tmp_path / kept[-1].blob
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(data)
        plan = CachePlan(
            root="repo",
            view=f"repo/views/{revision}",
            files=tuple(kept),
            aside=".aside",
            notes={"TAG": "a cache\n"} if notes is None else notes,
            refs={"repo/refs/main": revision} if refs is None else refs,
        )
        return LinkedCache(str(tmp_path), plan)

    return make


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def test_the_revision_appears_with_all_its_links_and_then_what_names_it(arranged, tmp_path):
    cache = arranged({"a.bin": b"a", "deep/er/b.bin": b"b"})
    assert not cache.stands(hash_file=hash_file)
    cache.publish(hash_file=hash_file)
    assert cache.stands(hash_file=hash_file)
    view = tmp_path / "repo/views/c1"
    assert os.readlink(view / "deep/er/b.bin").startswith("../../../../blobs/")
    assert {name: (view / name).read_bytes() for name in names(view)} == {"a.bin": b"a", "deep/er/b.bin": b"b"}
    assert (tmp_path / "repo/refs/main").read_text() == "c1"
    assert (tmp_path / "TAG").read_text() == "a cache\n"
    assert not (tmp_path / "repo/.dfly").exists()


def test_a_new_repository_appears_with_the_folder_for_its_revisions(arranged, tmp_path):
    cache = arranged({})
    cache.open()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [".aside", "repo", "repo/views"]
    cache.open()


def test_a_cache_that_moves_house_still_works(arranged, tmp_path):
    arranged({"a.bin": b"a"}).publish(hash_file=hash_file)
    os.rename(tmp_path / "repo", tmp_path / "moved")
    assert (tmp_path / "moved/views/c1/a.bin").read_bytes() == b"a"


def test_notes_are_kept_and_refs_follow(arranged, tmp_path):
    arranged({"a": b"1"}, notes={"TAG": "first"}).publish(hash_file=hash_file)
    arranged({"a": b"2"}, revision="c2", notes={"TAG": "second"}).publish(hash_file=hash_file)
    assert (tmp_path / "TAG").read_text() == "first"
    assert (tmp_path / "repo/refs/main").read_text() == "c2"
    assert [(tmp_path / f"repo/views/{c}/a").read_bytes() for c in ("c1", "c2")] == [b"1", b"2"]


def test_what_a_killed_run_left_is_cleared_away(arranged, tmp_path):
    left = tmp_path / "repo/.dfly/view"
    left.mkdir(parents=True)
    (left / "of-another-revision").symlink_to("nowhere")
    arranged({"a": b"1"}).publish(hash_file=hash_file)
    assert names(tmp_path / "repo/views") == ["c1/a"]
    assert not left.parent.exists()


def test_a_revision_that_is_there_gets_the_links_that_it_lacks(arranged, tmp_path):
    view = tmp_path / "repo/views/c1"
    (view / "wrong").parent.mkdir(parents=True)
    (view / "wrong").symlink_to("../../blobs/gone")
    (view / "mine").write_bytes(b"not asked for")
    arranged({"wrong": b"right", "deep/new": b"new"}).publish(hash_file=hash_file)
    assert {name: (view / name).read_bytes() for name in names(view)} == {
        "wrong": b"right",
        "deep/new": b"new",
        "mine": b"not asked for",
    }


def test_a_folder_where_a_file_belongs_is_an_error(arranged, tmp_path):
    (tmp_path / "repo/views/c1/a").mkdir(parents=True)
    with pytest.raises(OutputError, match="is a folder"):
        arranged({"a": b"1"}).publish(hash_file=hash_file)
    assert not (tmp_path / "repo/refs").exists()


def test_no_link_is_made_through_a_folder_that_leads_out(arranged, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "repo/views/c1").mkdir(parents=True)
    (tmp_path / "repo/views/c1/deep").symlink_to(tmp_path / "outside")
    with pytest.raises(OutputError, match="leads out"):
        arranged({"deep/a": b"1"}).publish(hash_file=hash_file)
    assert os.listdir(tmp_path / "outside") == []


def test_a_branch_that_was_a_folder_is_an_error(arranged, tmp_path):
    arranged({"a": b"1"}, refs={"repo/refs/x/y": "c1"}).publish(hash_file=hash_file)
    with pytest.raises(OutputError):
        arranged({"a": b"1"}, refs={"repo/refs/x": "c1"}).publish(hash_file=hash_file)
    assert (tmp_path / "repo/refs/x/y").read_text() == "c1"


@pytest.mark.parametrize(
    "changes",
    [
        {"refs": {"repo/refs/../../out": "c1"}},
        {"notes": {"/out": "x"}},
        {"aside": ".."},
        {"root": "repo/.."},
    ],
    ids=["ref", "note", "aside", "root"],
)
def test_a_place_outside_the_cache_is_refused(arranged, changes):
    good = arranged({"a": b"1"})
    with pytest.raises(UnsafePath):
        LinkedCache(good.directory, attrs.evolve(good.plan, **changes))


def test_a_layout_that_contradicts_itself_is_the_plugins_fault(arranged):
    good = arranged({"a": b"1"})
    (kept,) = good.plan.files
    for changes in ({"blob": "other/blob"}, {"link": "repo/a"}):
        files = (attrs.evolve(kept, **changes),)
        with pytest.raises(PluginError):
            LinkedCache(good.directory, attrs.evolve(good.plan, files=files))


def test_a_shared_content_is_found_inside_the_cache_only(tmp_path):
    cache = tmp_path / "cache"
    (cache / "shared").mkdir(parents=True)
    (cache / "shared/x").write_bytes(b"x")
    (tmp_path / "out").write_bytes(b"x")
    for name, target in (("in", "shared/x"), ("out", "../out"), ("none", "gone"), ("folder", "shared")):
        (cache / name).symlink_to(target)
    assert elsewhere(str(cache / "in"), str(cache)) == str(cache / "shared/x")
    assert [elsewhere(str(cache / name), str(cache)) for name in ("out", "none", "folder", "shared/x")] == [None] * 4
