"""A blob that is no longer what it was is found, lent to nobody, and mended with what is right in it."""

import os

import pytest

from dfly.layout import Layout
from tests.daemon.conftest import FILES, MIB, some_bytes, tree

SEGMENT = Layout(1).segment_length
BIG = some_bytes(5 * SEGMENT, 7)


@pytest.fixture
def big(backend):
    backend.hub.commit("big", {"model.bin": BIG, "small.txt": b"small"})


def the_file(data, size=5 * SEGMENT):
    (path,) = (path for path in (data / "blobs").rglob("data") if path.stat().st_size == size)
    return path


def flip(path, at, *, quietly=False):
    before = path.stat()
    os.chmod(path, 0o600)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.chmod(path, before.st_mode)
    if quietly:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_somebody_wrote_to_is_found_before_it_is_lent(start, fetch, here, data, hub, big):
    start()
    fetch("memory://big", "out", recursive=True)
    flip(the_file(data), 5 * SEGMENT // 2)
    hub.clear()
    fetch("memory://big", "again", recursive=True)
    assert (here / "again/model.bin").read_bytes() == BIG
    assert 0 < hub.bytes <= SEGMENT
    assert the_file(data).read_bytes() == BIG
    assert not list((data / "quarantine").iterdir())


def test_a_write_through_a_hard_link_does_not_reach_the_next_one(start, fetch, here, data, big):
    start()
    fetch("memory://big", "out", recursive=True, link="hard")
    flip(here / "out/model.bin", 5)
    fetch("memory://big", "again", recursive=True, link="hard")
    assert (here / "again/model.bin").read_bytes() == BIG
    assert (here / "out/model.bin").read_bytes() != BIG


def test_verify_finds_a_flipped_bit_and_mends_only_its_segment(start, fetch, here, data, hub, big):
    running = start()
    fetch("memory://big", "out", recursive=True)
    assert running.ask("/v1/operator/verify", blobs=None).json() == {"right": 2, "mended": [], "lost": []}
    flip(the_file(data), 4 * SEGMENT + 9, quietly=True)
    hub.clear()
    found = running.ask("/v1/operator/verify", blobs=None).json()
    assert (found["right"], len(found["mended"]), found["lost"]) == (1, 1, [])
    assert 0 < hub.bytes <= SEGMENT
    assert the_file(data).read_bytes() == BIG


def test_what_cannot_be_mended_now_is_lent_to_nobody(start, fetch, here, data, hub, backend, big):
    running = start()
    fetch("memory://big", "out", recursive=True)
    flip(the_file(data), 3, quietly=True)
    kept, backend.hub._commits = backend.hub._commits, {}
    found = running.ask("/v1/operator/verify", blobs=None).json()
    assert len(found["lost"]) == 1
    backend.hub._commits = kept
    fetch("memory://big", "again", recursive=True)
    assert (here / "again/model.bin").read_bytes() == BIG


@pytest.mark.parametrize("damage", ["deleted", "cut", "emptied folder"])
def test_a_blob_that_is_gone_is_brought_again(start, fetch, here, data, hub, damage):
    start()
    fetch("memory://tiny", "out", recursive=True)
    path = the_file(data, 3 * MIB)
    if damage == "deleted":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, 5)
    else:
        for each in path.parent.iterdir():
            # the daemon may just be writing down when the blob was used
            each.unlink(missing_ok=True)
    fetch("memory://tiny", "again", recursive=True)
    assert tree(here / "again") == FILES


def test_a_pieces_file_that_is_damaged_costs_no_more_than_the_blob(start, fetch, here, data, hub):
    start()
    fetch("memory://tiny", "out", recursive=True)
    (the_file(data, 3 * MIB).parent / "pieces").write_bytes(b"nonsense")
    fetch("memory://tiny", "again", recursive=True)
    assert tree(here / "again") == FILES


def test_verify_is_for_the_daemons_own_user_on_its_socket(start, fetch):
    import httpx

    running = start(listen=("127.0.0.1", 0))
    with httpx.Client(base_url=running.where.url, timeout=60) as client:
        assert client.post("/v1/operator/verify").status_code == 403
        assert client.get("/v1/operator/snapshots").status_code == 403
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json() == {"ready": True}


def test_a_blob_that_is_not_here_is_not_called_right(start):
    said = start().ask("/v1/operator/verify", blobs=["../../x"])
    assert (said.status_code, said.json()["error"]) == (404, "NotFound")
