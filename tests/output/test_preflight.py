"""What is found out before the first byte."""

import os
import tempfile

import pytest

from dfly.errors import OutputError
from dfly.output.preflight import preflight, readable


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_new_tree_that_fits_is_fine_and_nothing_is_made(tmp_path):
    preflight(["new/tree/a", "new/tree/b/c"], root="new/tree", needed=1000)
    preflight(["a"], root="", needed=0)
    preflight([], root="/nowhere", needed=1 << 62)
    assert os.listdir(tmp_path) == []


def test_what_does_not_fit_is_refused_with_how_much_is_missing(small_disk):
    preflight([f"{small_disk.path}/new/a"], root=f"{small_disk.path}/new", needed=1 << 20)
    with pytest.raises(OutputError, match=r"2\.0 MB are needed in .*disk and 1\.0 MB are free") as told:
        preflight([f"{small_disk.path}/new/a"], root=f"{small_disk.path}/new", needed=2_000_000)
    assert told.value.hint.startswith("free 951.4 kB more")


def test_a_read_only_file_system_is_refused(small_disk):
    small_disk.remount("ro")
    with pytest.raises(OutputError, match="read-only"):
        preflight([f"{small_disk.path}/a"], root=small_disk.path, needed=1)


def test_a_folder_without_write_permission_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/out/locked")
        for path, mode in ((folder, 0o755), (f"{folder}/out", 0o777), (f"{folder}/out/locked", 0o555)):
            os.chmod(path, mode)
        preflight([f"{folder}/out/a"], root=f"{folder}/out", needed=1)
        pid = os.fork()  # root may write anywhere: ask as somebody else
        if not pid:
            try:
                if not os.geteuid():
                    os.setuid(65534)
                preflight([f"{folder}/out/a"], root=f"{folder}/out", needed=1)
                preflight([f"{folder}/out/locked/new/b"], root=f"{folder}/out", needed=1)
            except OutputError as error:
                os._exit(0 if error.message == f"no permission to write in {folder}/out/locked" else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("path", ["out/file/x", "out/file/deep/x"])
def test_a_file_where_a_folder_is_needed_is_refused(tmp_path, path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("")
    with pytest.raises(OutputError, match="out/file is a file"):
        preflight([path], root="out", needed=1)


def test_a_file_as_the_root_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="out is a file"):
        preflight(["out/a"], root="out", needed=1)
    with pytest.raises(OutputError, match="out is a file"):
        preflight(["out/new/a"], root="out/new", needed=1)


def test_a_folder_where_a_file_is_to_go_is_refused(tmp_path):
    (tmp_path / "out" / "a").mkdir(parents=True)
    with pytest.raises(OutputError, match="out/a is a folder"):
        preflight(["out/a"], root="out", needed=1)


@pytest.mark.parametrize("link", ["out/sub", "out/sub/deeper", "out/.dfly"])
def test_a_link_out_of_the_output_is_refused(tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    os.makedirs(os.path.dirname(link))
    os.symlink(tmp_path / "elsewhere", link)
    with pytest.raises(OutputError, match=f"{link} is a symbolic link that leads out of out"):
        preflight(["out/sub/deeper/x"], root="out", needed=1)


def test_links_inside_the_output_and_the_output_itself_as_a_link_are_fine(tmp_path):
    (tmp_path / "real" / "sub").mkdir(parents=True)
    os.symlink("real", "out")
    os.symlink("sub", "real/again")
    preflight(["out/again/x"], root="out", needed=1)
    preflight(["out/again/x"], root="out/", needed=1)


def test_a_dangling_link_as_the_output_is_said(tmp_path):
    os.symlink("nowhere", "out")
    with pytest.raises(OutputError, match="out"):
        preflight(["out/a"], root="out", needed=1)


def test_sizes_are_readable():
    assert [readable(n) for n in (0, 999, 1000, 999_949, 999_950, 5 * 10**9, 2 * 10**15)] == [
        "0 bytes", "999 bytes", "1.0 kB", "999.9 kB", "1.0 MB", "5.0 GB", "2000.0 TB",
    ]  # fmt: skip
