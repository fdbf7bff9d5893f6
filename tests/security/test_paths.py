"""The local disk: nothing that is planted there leads outside, and nothing there is believed that others could write."""

import contextlib
import os
import socket

import pytest
from tests.security.conftest import FILES

from dfly.errors import DflyError, OutputError, UnsafePath
from dfly.node.fetch import fetch
from dfly.output.preflight import preflight
from dfly.paths import problem, refuse_unsafe
from dfly.plugins import Plugins
from dfly.store.blobs import BlobStore
from dfly.store.lock import Lock
from dfly.testing.memory import memory_backend

TINY = memory_backend({"tiny": {"sub/model.bin": bytes(2 << 20), "config.json": b"{}"}})


def get(out, backend=TINY):
    return fetch("memory://tiny", str(out), recursive=True, plugins=Plugins(extra=[backend]), timeout=60)


@pytest.mark.parametrize(
    "path",
    [
        "/a",
        "//a",
        "../a",
        "a/../b",
        "a/..",
        "..",
        "a\0b",
        "a\nb",
        "a\x7f",
        "a\\b",
        "..\\a",
        "C:/a",
        "c:",
        "a.",
        "a ",
        "a//b",
        "./a",
        "a/",
        "\ud800",
    ],
)
def test_a_name_that_could_lead_outside_is_refused(path):
    assert problem(path)
    with pytest.raises(UnsafePath):
        refuse_unsafe(["fine", path])


@pytest.mark.parametrize(
    "path", [".dfly", ".dfly/x", "a/.dfly/x", "a/.DFLY", ".d\ufb02y/x", ".cache/huggingface/x", "CON", "nul.txt"]
)
def test_a_name_that_is_somebody_elses_book_is_refused(path):
    assert problem(path)


@pytest.mark.parametrize(
    ("one", "other"), [("a", "A"), ("\u00e9", "e\u0301"), ("a", "a/b"), ("A", "a/b"), ("\ufb02", "FL"), ("x", "x")]
)
def test_two_names_that_are_one_file_somewhere_are_refused(one, other):
    with pytest.raises(UnsafePath):
        refuse_unsafe([one, other])


@pytest.mark.parametrize("planted", ["sub", ".dfly"])
def test_a_planted_link_out_of_the_output_is_not_followed(tmp_path, planted):
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir(), outside.mkdir()
    (out / planted).symlink_to(outside)
    with pytest.raises(OutputError):
        get(out)
    assert list(outside.iterdir()) == []


def test_a_planted_link_at_a_file_is_not_followed(tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.write_text("precious")
    (out / "config.json").symlink_to(victim)
    with pytest.raises(OutputError, match="symbolic link"):
        get(out)
    assert victim.read_text() == "precious"


def test_a_hidden_folder_that_is_a_link_inside_the_output_is_refused_too(tmp_path):
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "out" / ".dfly").symlink_to(tmp_path / "out" / "sub")
    with pytest.raises(OutputError, match="not a folder of this user"):
        get(tmp_path / "out")


def test_a_hidden_folder_that_everybody_can_write_is_refused(tmp_path):
    hidden = tmp_path / "out" / ".dfly"
    hidden.mkdir(parents=True)
    hidden.chmod(0o777)
    with pytest.raises(OutputError, match="can be written by everybody"):
        get(tmp_path / "out")
    hidden.chmod(0o700)
    assert get(tmp_path / "out").files == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_hidden_folder_of_another_user_is_refused(tmp_path):
    hidden = tmp_path / "out" / ".dfly"
    hidden.mkdir(parents=True)
    os.chown(hidden, 12345, 12345)
    with pytest.raises(OutputError, match="not a folder of this user"):
        get(tmp_path / "out")


def take_and_cut(path):
    lock = Lock(path)
    lock.acquire()
    try:
        os.ftruncate(lock.fd, 0)
    finally:
        lock.release()


@pytest.mark.parametrize("kind", ["link", "pipe", "socket", "folder"])
def test_what_is_planted_in_the_place_of_a_partial_is_neither_followed_nor_opened(tmp_path, kind):
    path, victim = tmp_path / "data", tmp_path / "victim"
    victim.write_text("precious")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as unix:
        make = {
            "link": lambda: path.symlink_to(victim),
            "pipe": lambda: os.mkfifo(path),
            "socket": lambda: unix.bind(str(path)),
            "folder": path.mkdir,
        }
        make[kind]()
        with pytest.raises((OSError, DflyError)):
            take_and_cut(str(path))
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "blob", ["", "..", "../x", "sha256-../x", "sha256-a/b", "sha256-\0", "SHA256-00", "a-" + "0" * 300]
)
def test_an_id_of_a_blob_is_no_path(tmp_path, monkeypatch, blob):
    removed = []
    monkeypatch.setattr("dfly.store.blobs.shutil.rmtree", lambda path, **_: removed.append(path))
    monkeypatch.setattr("dfly.store.blobs.os.rename", lambda *paths: removed.append(paths))
    with BlobStore(str(tmp_path / "store")) as store:
        for name in (blob, str(tmp_path / "elsewhere")):
            for call in (store.path, store.committed, store.remove, store.quarantine):
                with pytest.raises(ValueError, match="no blob id"):
                    call(name)
    assert removed == []


@pytest.mark.parametrize("mode", [0o777, 0o702])
def test_a_data_directory_that_everybody_can_write_is_refused(tmp_path, mode):
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(mode)
    with pytest.raises(OutputError, match="written by everybody"):
        BlobStore(str(tmp_path / "store"))


def test_what_a_seed_peer_makes_only_its_user_can_read(seed, tmp_path):
    seed().task()
    assert (tmp_path / "data0").stat().st_mode & 0o077 == 0


def test_nothing_is_made_before_the_output_was_looked_at(tmp_path):
    preflight([str(tmp_path / "new" / "a")], root=str(tmp_path / "new"), needed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_listing_that_lies_about_its_names_leaves_nothing_behind(tmp_path):
    backend = memory_backend({"tiny": {**FILES, "../escaped": b"x"}})
    with pytest.raises(UnsafePath):
        get(tmp_path / "out", backend)
    assert list(tmp_path.iterdir()) == []
