"""Where files go."""

import os

import pytest

from dfly.errors import NotAFile, OutputError, UnsafePath, UsageError
from dfly.output.plan import plan


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _paths(snapshot, output, recursive=False):
    return [target.path for target in plan(snapshot, output, recursive=recursive)]


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (None, "weights.bin"),
        ("model.bin", "model.bin"),
        ("new/folder/model.bin", "new/folder/model.bin"),
        ("new/", "new/weights.bin"),
        ("existing", "existing/weights.bin"),
        ("existing/", "existing/weights.bin"),
        (".", "./weights.bin"),
    ],
)
def test_one_file_goes_where_cp_would_put_it(snapshot, output, path):
    os.mkdir("existing")
    assert _paths(snapshot("sub/weights.bin"), output) == [path]
    assert os.listdir() == ["existing"]


@pytest.mark.parametrize(
    ("output", "root"), [(None, "repo"), ("new", "new"), ("new/", "new"), ("existing", "existing")]
)
def test_a_repository_goes_directly_below_its_output(snapshot, output, root):
    os.mkdir("existing")
    assert _paths(snapshot("a", "b/c"), output, recursive=True) == [f"{root}/a", f"{root}/b/c"]


def test_an_empty_snapshot_has_no_targets(snapshot):
    assert _paths(snapshot(), "out", recursive=True) == []


def test_several_files_without_r_are_an_error_that_names_r(snapshot):
    with pytest.raises(NotAFile, match="-r"):
        _paths(snapshot("a", "b"), "out")


def test_an_empty_output_is_a_usage_error(snapshot):
    with pytest.raises(UsageError, match="-O"):
        _paths(snapshot("a"), "")


UNSAFE = pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../b", "C:\\x", "nul\0", ".dfly/x", "a/.cache/../b", "aux.json"]
)


@UNSAFE
@pytest.mark.parametrize(
    ("output", "recursive"), [("out", True), (None, True), (None, False), ("out/", False), (".", False)], ids=str
)
def test_unsafe_names_are_refused(snapshot, path, output, recursive):
    with pytest.raises(UnsafePath, match="-O NAME"):
        _paths(snapshot(path), output, recursive=recursive)


@UNSAFE
def test_one_file_may_have_a_name_of_the_users_own_whatever_the_origin_calls_it(snapshot, path):
    assert _paths(snapshot(path), "out") == ["out"]


def test_names_that_collide_are_refused(snapshot):
    with pytest.raises(UnsafePath, match="collides"):
        _paths(snapshot("README.md", "readme.md"), "out", recursive=True)


@pytest.mark.parametrize("name", ["..", "../x", "/abs", ""])
def test_a_snapshot_s_own_name_must_be_safe_where_it_becomes_the_folder(snapshot, name):
    with pytest.raises(UnsafePath):
        _paths(snapshot("a", name=name), None, recursive=True)
    assert _paths(snapshot("a", name=name), "out", recursive=True) == ["out/a"]


def test_a_folder_a_link_or_a_device_at_the_target_is_refused(snapshot):
    os.makedirs("out/a")
    with pytest.raises(OutputError, match="out/a is a folder"):
        _paths(snapshot("a"), "out", recursive=True)
    os.symlink("/etc/passwd", "link")
    with pytest.raises(OutputError, match="link is a symbolic link, to /etc/passwd"):
        _paths(snapshot("a"), "link")
    os.mkfifo("pipe")
    with pytest.raises(OutputError, match="pipe is a device, pipe or socket"):
        _paths(snapshot("a"), "pipe")


def test_a_file_at_the_target_may_be_replaced(snapshot, tmp_path):
    (tmp_path / "model.bin").write_text("old")
    assert _paths(snapshot("a"), "model.bin") == ["model.bin"]
