"""The waiting place, and the last step out of it."""

import os

import pytest

from dfly.errors import OutputError
from dfly.output.place import clean, partial_directory, place, remove_stale
from dfly.output.receipt import matches
from dfly.store.partial import Partial


def _arrive(directory, data):
    partial = Partial.open(directory, blob="b", size=len(data), validator="v")
    partial.writer(0, len(data)).write(data)
    return partial


def test_a_file_appears_whole_with_its_parents_and_a_receipt_and_nothing_else_stays(tmp_path, entry):
    final = str(tmp_path / "new" / "folder" / "weights.bin")
    partial = _arrive(partial_directory(final, entry().blob, root=str(tmp_path)), b"weights")
    assert os.listdir(tmp_path) == [".dfly"]
    place(partial.commit, final, entry=entry())
    clean(str(tmp_path))
    assert os.listdir(tmp_path) == ["new"]
    assert os.listdir(tmp_path / "new" / "folder") == ["weights.bin"]
    assert matches(final, entry(), verify=False)


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path, entry):
    final = tmp_path / "weights.bin"
    final.write_bytes(b"old")
    seen = []
    partial = _arrive(partial_directory(str(final), "b"), b"weights")
    place(lambda path: (seen.append(final.read_bytes()), partial.commit(path)), str(final))
    assert (seen, final.read_bytes()) == ([b"old"], b"weights")


def test_a_commit_that_fails_leaves_no_receipt(tmp_path, entry):
    final = tmp_path / "weights.bin"
    final.write_bytes(b"weights")

    def fail(path):
        raise OutputError("disk full")

    with pytest.raises(OutputError):
        place(fail, str(final), entry=entry())
    assert not matches(str(final), entry(), verify=False)


def test_parents_that_cannot_be_made_are_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        place(lambda path: None, str(tmp_path / "file" / "sub" / "x"))


def test_the_waiting_place_follows_from_path_and_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = partial_directory("out/a/x", "k", root="out")
    assert os.path.dirname(one) == "out/.dfly"
    assert os.path.abspath(one) == partial_directory(str(tmp_path / "out/a/x"), "k", root=str(tmp_path / "out"))
    names = {partial_directory(f"out/{path}", key, root="out") for path in ("x", "a/x", "b/x") for key in ("k", "l")}
    assert len(names) == 6
    assert partial_directory("x", "k").startswith("./.dfly/")


def test_a_folder_on_another_file_system_has_its_own_waiting_place(tmp_path, small_disk):
    assert partial_directory(f"{small_disk.path}/new/x", "k", root=str(tmp_path)).startswith(
        f"{small_disk.path}/new/.dfly/"
    )


def test_partials_of_other_contents_go_and_those_of_other_files_stay(tmp_path):
    root, final = str(tmp_path), str(tmp_path / "x")
    for name, key in (("x", "old"), ("x", "older"), ("x", "new"), ("y", "old")):
        _arrive(partial_directory(str(tmp_path / name), key, root=root), b"abc").close()
    remove_stale(final, "new", root=root)
    left = {partial_directory(str(tmp_path / name), key, root=root) for name, key in (("x", "new"), ("y", "old"))}
    assert {str(path) for path in (tmp_path / ".dfly").iterdir()} == left
    remove_stale(str(tmp_path / "elsewhere" / "x"), "new")


def test_a_partial_that_somebody_holds_is_never_removed(tmp_path):
    final = str(tmp_path / "x")
    held = _arrive(partial_directory(final, "old"), b"abc")
    remove_stale(final, "new")
    held.commit(final)
    assert (tmp_path / "x").read_bytes() == b"abc"


def test_a_waiting_place_in_use_is_not_cleaned(tmp_path):
    held = _arrive(partial_directory(str(tmp_path / "x"), "k"), b"abc")
    clean(str(tmp_path))
    held.commit(str(tmp_path / "x"))
    clean(str(tmp_path))
    clean(str(tmp_path))
    assert os.listdir(tmp_path) == ["x"]
