"""Blobs of a long-lived process: where they are, who may be there, and when they count."""

import hashlib
import os
import stat
import subprocess
import sys
import threading

import pytest

from dfly.errors import OutputError
from dfly.layout import SMALLEST_PIECE, Layout
from dfly.store import folder as module
from dfly.store.blobs import BlobStore

BLOB = "sha256-" + "0" * 64
PIECE, SEGMENT = SMALLEST_PIECE, Layout(1).segment_length
SIZE = SEGMENT + 2 * PIECE


@pytest.fixture
def store(tmp_path):
    with BlobStore(str(tmp_path / "data"), boot="boot-a") as opened:
        yield opened


@pytest.fixture
def commit(fill):
    """`commit(store, data)`: bring it in and commit it."""

    def bring(store: BlobStore, data: bytes, blob: str = BLOB):
        fill(store.open_partial(blob, size=len(data), validator=None), data)
        return store.commit(blob, sources=["hf://o/r@1/f"])

    return bring


def again(store: BlobStore, boot: str) -> BlobStore:
    store.close()
    return BlobStore(store.directory, boot=boot)


def test_a_blob_is_not_removed_while_it_is_noted_that_it_is_on_the_disk(store, content, commit, monkeypatch):
    commit(store, content(SIZE))
    removing, note = threading.Thread(target=store.remove, args=(BLOB,)), module.write_meta

    def write_meta(path, meta):
        removing.start()
        removing.join(0.1)
        note(path, meta)

    monkeypatch.setattr(module, "write_meta", write_meta)
    store.sync(BLOB)
    removing.join(60)
    assert not os.path.exists(os.path.dirname(store.path(BLOB)))


def test_a_blob_that_came_anew_while_the_last_one_got_to_the_disk_is_not_called_whole(
    store, content, commit, monkeypatch
):
    commit(store, content(SIZE))

    def sync_path(_):
        monkeypatch.undo()
        store.remove(BLOB)
        store.open_partial(BLOB, size=SIZE, validator=None)
        monkeypatch.setattr(module, "sync_path", lambda _: None)

    monkeypatch.setattr(module, "sync_path", sync_path)
    store.sync(BLOB)
    assert BLOB not in store


def test_a_blob_has_one_path_for_life(store, content, fill):
    partial = store.open_partial(BLOB, size=SIZE, validator="v")
    assert partial.path == store.path(BLOB) == f"{store.directory}/blobs/00/{BLOB}/data"
    fill(partial, content(SIZE))
    inode = os.stat(partial.path).st_ino
    held = store.commit(BLOB)
    assert held.path == partial.path
    assert os.stat(held.path).st_ino == inode


def test_a_committed_blob_is_read_only_and_says_all_about_itself(store, content, commit, piece_hashes):
    data = content(SIZE)
    held = commit(store, data)
    assert store.committed(BLOB) == held
    assert (held.size, held.sha256, held.sources) == (SIZE, hashlib.sha256(data).hexdigest(), ("hf://o/r@1/f",))
    assert held.hashes == piece_hashes(data, 0) + piece_hashes(data, 1)
    assert stat.S_IMODE(os.stat(held.path).st_mode) == 0o444
    assert BLOB in store
    assert list(store) == [BLOB]


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, SEGMENT + 1])
def test_blobs_of_every_shape_are_committed(store, content, commit, size):
    held = commit(store, content(size))
    assert len(held.hashes) == 20 * Layout(size).pieces
    assert store.committed(BLOB) == held


def test_a_blob_is_not_committed_before_it_is(store, content, fill):
    partial = store.open_partial(BLOB, size=SIZE, validator="v")
    fill(partial, content(SIZE), [0])
    assert store.committed(BLOB) is None
    assert BLOB not in store
    assert list(store) == []
    with pytest.raises(ValueError, match="not complete"):
        store.commit(BLOB)


def test_a_committed_blob_is_never_opened_for_writing(store, content, commit):
    commit(store, content(1000))
    with pytest.raises(ValueError, match="never written"):
        store.open_partial(BLOB, size=1000, validator=None)


def test_what_has_arrived_is_found_by_the_next_process(store, content, fill):
    fill(store.open_partial(BLOB, size=SIZE, validator="v"), content(SIZE), [1])
    with again(store, "boot-a") as restarted:
        assert restarted.open_partial(BLOB, size=SIZE, validator="v").missing_segments() == [0]


def test_a_crash_between_sealing_and_committing_costs_no_byte(store, content, fill):
    partial = store.open_partial(BLOB, size=SIZE, validator="v")
    fill(partial, content(SIZE))
    partial.seal()
    with again(store, "boot-a") as restarted:
        assert restarted.open_partial(BLOB, size=SIZE, validator="v").complete
        assert stat.S_IMODE(os.stat(partial.path).st_mode) == 0o600


@pytest.mark.parametrize(
    "blob", ["", "a", "sha256-", "../sha256-0", "sha256-0/..", "sha256-0\n", "SHA256-0", "a-b-c", "a-" + "0" * 300]
)
def test_an_id_that_could_be_a_path_is_no_id(store, blob):
    for refused in (store.path, store.committed, store.remove, store.quarantine, store.__contains__):
        with pytest.raises(ValueError, match="is no blob id"):
            refused(blob)
    with pytest.raises(ValueError, match="is no blob id"):
        store.open_partial(blob, size=1, validator=None)


def test_a_power_loss_is_noticed_and_what_survived_is_trusted(store, content, commit):
    held = commit(store, content(SIZE))
    with again(store, "boot-b") as restarted:
        assert restarted.committed(BLOB) == held


def test_a_blob_that_a_power_loss_hit_is_put_aside_and_can_come_anew(store, content, commit):
    held = commit(store, content(SIZE))
    spoil(held.path)
    with again(store, "boot-b") as restarted:
        assert restarted.committed(BLOB) is None
        assert os.path.exists(f"{restarted.directory}/quarantine/{BLOB}/data")
        assert commit(restarted, content(SIZE)) == held


def test_a_synced_blob_is_not_read_again_after_a_reboot(store, content, commit):
    held = commit(store, content(SIZE))
    store.sync(BLOB)
    spoil(held.path)  # nobody looks, so nobody can know: that is what shows that it was not read
    with again(store, "boot-b") as restarted:
        assert restarted.committed(BLOB) == held


@pytest.mark.parametrize("damage", ["short data", "no data", "no pieces", "short pieces"])
def test_a_blob_that_lacks_something_is_not_committed(store, content, commit, damage):
    held = commit(store, content(SIZE))
    path = held.path if "data" in damage else os.path.join(os.path.dirname(held.path), "pieces")
    os.truncate(path, 5) if "short" in damage else os.unlink(path)
    assert store.committed(BLOB) is None
    assert BLOB not in store


def test_a_meta_cut_short_by_a_crash_is_none(store, content, commit):
    meta = os.path.join(os.path.dirname(commit(store, content(SIZE)).path), "meta")
    os.truncate(meta, os.stat(meta).st_size - 3)
    assert store.committed(BLOB) is None


def test_quarantine_makes_room_for_a_new_file(store, content, commit):
    held = commit(store, content(SIZE))
    inode = os.stat(held.path).st_ino
    aside = store.quarantine(BLOB)
    assert os.stat(os.path.join(aside, "data")).st_ino == inode
    assert BLOB not in store
    assert os.stat(commit(store, content(SIZE)).path).st_ino != inode
    store.quarantine(BLOB)  # the second time too


def test_remove_leaves_nothing_of_a_blob_committed_or_not(store, content, commit, fill):
    commit(store, content(1000))
    fill(store.open_partial("sha256-1", size=SIZE, validator="v"), content(SIZE), [0])
    for blob in (BLOB, "sha256-1", "sha256-2"):
        store.remove(blob)
        assert not os.path.exists(os.path.dirname(store.path(blob)))


def test_one_process_has_a_data_directory(store):
    opening = "import sys; from dfly.store.blobs import BlobStore; BlobStore(sys.argv[1])"
    other = subprocess.run([sys.executable, "-c", opening, store.directory], capture_output=True, text=True)
    assert f"{store.directory} is in use by another dfly (pid {os.getpid()})" in other.stderr
    assert "one process" in other.stderr


def test_a_closed_directory_can_be_opened_again(tmp_path):
    for _ in range(2):
        BlobStore(str(tmp_path / "data")).close()


def test_only_its_user_can_look_into_a_data_directory(store, content, commit):
    commit(store, content(1000))
    for folder, _, _ in os.walk(store.directory):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_a_directory_that_everybody_can_write_is_refused(tmp_path):
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(OutputError, match="written by everybody"):
        BlobStore(str(directory))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path):
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, -1)
    with pytest.raises(OutputError, match="belongs to another user"):
        BlobStore(str(directory))


def test_a_directory_in_another_format_is_left_alone(tmp_path):
    BlobStore(str(tmp_path)).close()
    (tmp_path / "format").write_text("3\n")
    with pytest.raises(OutputError, match="format '3'"):
        BlobStore(str(tmp_path))
    (tmp_path / "format").write_text("2\n")
    BlobStore(str(tmp_path)).close()


def test_a_file_in_the_place_of_the_directory_is_said(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(OutputError, match="data"):
        BlobStore(str(tmp_path / "data"))


def test_digests_can_be_carried_on_step_by_step(store, content, fill):
    fill(store.open_partial(BLOB, size=SIZE, validator="v"), content(SIZE))
    with again(store, "boot-a") as restarted:
        partial = restarted.open_partial(BLOB, size=SIZE, validator="v")
        steps = [partial.hash_on(SIZE // 3 + 1) for _ in range(3)]
        assert steps == [False, False, True]
        assert partial.digest("sha256") == hashlib.sha256(content(SIZE)).hexdigest()


def test_what_is_not_complete_cannot_be_sealed(store, content, fill):
    partial = store.open_partial(BLOB, size=SIZE, validator="v")
    fill(partial, content(SIZE), [0])
    with pytest.raises(ValueError, match="not complete"):
        partial.seal()


def spoil(path: str) -> None:
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.write(b"spoilt")
