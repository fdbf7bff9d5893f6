"""An archive is a tar that every tool reads, the same bytes each time, and refused where a single one is not as it should be."""

import io
import itertools
import random
import shutil
import subprocess
import tarfile

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfly.errors import IntegrityError, UsageError
from dfly.store import archive
from dfly.store.manifest import LARGEST, Archived, ArchivedBlob, Manifest

from .archives import Member, archived, manifest_of, read, reading, repacked, sha256, with_manifest, written

FILES = {"a.json": b"{}", "b/model.bin": random.Random(1).randbytes(3000), "c.txt": b"c" * 999, "empty": b""}
WHOLE = written(FILES)
STEADY = settings(deadline=None, derandomize=True)


def test_the_same_snapshots_are_the_same_bytes_in_whatever_order_they_come():
    other = dict(reversed(FILES.items()))
    assert written(other, names=("hf://b", "hf://a")) == written(FILES, names=("hf://a", "hf://b", "hf://a"))


def test_every_tar_reads_it_and_finds_plain_files_of_nobody_s(tmp_path):
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as tar:
        members = tar.getmembers()
        contents = [tar.extractfile(member).read() for member in members]
    manifest = read(WHOLE)
    assert [member.name for member in members] == ["manifest.json", *(f"blobs/{blob.id}" for blob in manifest.blobs)]
    assert {(m.mode, m.uid, m.gid, m.mtime, m.uname, m.gname, m.type) for m in members} == {
        (0o644, 0, 0, 0, "", "", tarfile.REGTYPE)
    }
    assert [sha256(content) for content in contents[1:]] == [blob.sha256 for blob in manifest.blobs]
    if shutil.which("tar"):
        (tmp_path / "it.tar").write_bytes(WHOLE)
        listed = subprocess.run(["tar", "-tf", tmp_path / "it.tar"], capture_output=True, text=True, check=True)
        assert listed.stdout.splitlines() == [member.name for member in members]
        assert listed.stderr == ""


@pytest.mark.parametrize("size", [0, 1, 8**11 - 1, 8**11, 130 * 10**9], ids=str)
@pytest.mark.parametrize("name", ["blobs/sha256-" + "0" * 64, "blobs/sha512-" + "f" * 128], ids=["short", "long"])
def test_sizes_and_names_that_a_plain_header_does_not_hold_are_read_by_others(name, size):
    with tarfile.open(fileobj=io.BytesIO(archive._header(name, size))) as tar:
        found = tar.next()
    assert (found.name, found.size) == (name, size)


def test_its_length_is_known_before():
    assert archive.length(read(WHOLE)) == len(WHOLE)


def test_it_is_written_and_read_in_steps_however_large_a_blob_is():
    size, taken = 5 * archive.CHUNK, itertools.count()
    large = archived({"large": bytes(size)})
    manifest = manifest_of(large, files={"large": bytes(size)})

    def content(_):
        for _ in range(5):
            next(taken)
            yield bytes(archive.CHUNK)

    chunks = archive.write(manifest, content)
    head = [next(chunks) for _ in range(3)]
    assert next(taken) == 1  # the first step of the blob is out when the second has not been asked for
    data = b"".join([*head, *chunks])
    _, steps = next(archive.Reader(reading(data)).blobs())
    assert [len(step) for step in steps] == [archive.CHUNK] * 5


def test_content_that_is_not_what_the_manifest_says_is_not_written_to_its_end():
    manifest = manifest_of(archived({"x": b"x" * 2000}), files={"x": b"x" * 2000})
    for wrong in (b"y" * 2000, b"x" * 1999, b"x" * 2001):
        with pytest.raises(IntegrityError):
            list(archive.write(manifest, lambda _, wrong=wrong: [wrong]))


@STEADY
@given(st.integers(0, len(WHOLE) - 1))
def test_one_that_ends_too_early_is_refused(length):
    with pytest.raises(UsageError, match="refused"):
        read(WHOLE[:length])


@STEADY
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_what_is_read_is_what_would_be_written_bit_by_bit(at, flip):
    changed = bytearray(WHOLE)
    changed[at] ^= flip
    try:
        manifest = read(bytes(changed))
    except (UsageError, IntegrityError):
        return
    # another text in the manifest is another snapshot, which nothing here can know; all else is decided by it
    contents = {blob.id: content for blob, content in contents_of(bytes(changed))}
    assert b"".join(archive.write(manifest, lambda blob: [contents[blob.id]])) == bytes(changed)


def contents_of(data):
    return [(blob, b"".join(chunks)) for blob, chunks in archive.Reader(reading(data)).blobs()]


@STEADY
@given(st.binary(max_size=3000))
def test_what_is_no_archive_is_refused(data):
    with pytest.raises(UsageError, match="refused"):
        read(data)


def first(members, **changes):
    return [members[0], attrs.evolve(members[1], **changes), *members[2:]]


README = Member("README", b"read me")
HOSTILE = {
    "a symbolic link": lambda ms: first(ms, kind=b"2", link=b"elsewhere", content=b""),
    "a hard link": lambda ms: first(ms, kind=b"1", link=b"manifest.json", content=b""),
    "a sparse file": lambda ms: first(ms, kind=b"S"),
    "a folder": lambda ms: first(ms, kind=b"5", content=b""),
    "a device": lambda ms: first(ms, kind=b"3", content=b""),
    "a long name": lambda ms: first(ms, kind=b"x"),
    "a global header": lambda ms: [Member("g", b"10 path=x\n", kind=b"g"), *ms],
    "a name that leads elsewhere": lambda ms: first(ms, name="../../outside"),
    "an absolute name": lambda ms: first(ms, name="/outside"),
    "an unknown member first": lambda ms: [README, *ms],
    "an unknown member last": lambda ms: [*ms, README],
    "an unknown member between": lambda ms: [*ms[:2], README, *ms[2:]],
    "a member twice": lambda ms: [*ms[:2], *ms[1:]],
    "the manifest twice": lambda ms: [ms[0], *ms],
    "another order": lambda ms: [ms[0], *reversed(ms[1:])],
    "a blob less": lambda ms: ms[:-1],
    "no manifest": lambda ms: ms[1:],
    "a blob that is too short": lambda ms: first(ms, content=b"x"),
    "a blob that is said to be shorter": lambda ms: first(ms, size=1),
    "a blob that is said to be longer": lambda ms: first(ms, size=1 << 40),
    "other content of the same size": lambda ms: first(ms, content=bytes(len(ms[1].content))),
    "an owner": lambda ms: first(ms, uid=b"0001750"),
    "a time": lambda ms: first(ms, mtime=b"00000000001"),
    "a mode": lambda ms: first(ms, mode=b"0004755"),
}


def test_one_that_is_packed_again_just_so_is_read():
    assert repacked(WHOLE, lambda members: members) == WHOLE


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_tar_that_export_would_not_write_is_refused(change):
    with pytest.raises((UsageError, IntegrityError), match=r"refused|sha256"):
        read(repacked(WHOLE, change))


@pytest.mark.parametrize("more", [b"\0" * 512, b"x", WHOLE], ids=["blanks", "a byte", "another archive"])
def test_what_follows_its_end_is_refused(more):
    with pytest.raises(UsageError, match="something follows its end"):
        read(WHOLE + more)


def test_a_huge_manifest_is_refused_before_it_is_read():
    data = archive._header("manifest.json", LARGEST + 1)

    def endless(most):
        nonlocal data
        chunk, data = data[:most], data[most:]
        assert chunk, "it was read on"
        return chunk

    with pytest.raises(UsageError, match="its manifest is larger than"):
        archive.Reader(endless)


def blob(said, **changes):
    row = dict(zip(("id", "size", "sha256"), said["blobs"][0], strict=True)) | changes
    said["blobs"][0] = list(row.values())


def set_all(said, name, value):
    for each in said["snapshots"][0]["entries"]:
        each[name] = value


LIES = {
    "another format": lambda said: said.update(format="tar"),
    "a version to come": lambda said: said.update(version=2),
    "no version": lambda said: said.pop("version"),
    "no snapshot": lambda said: said.update(snapshots=[], blobs=[]),
    "a snapshot twice": lambda said: said["snapshots"].append(said["snapshots"][0]),
    "an id that is a path": lambda said: blob(said, id="../../../outside"),
    "an id with a null": lambda said: blob(said, id="sha256-\0"),
    "a size that is negative": lambda said: blob(said, size=-1),
    "a size that is no number": lambda said: blob(said, size="1"),
    "a size that no file has": lambda said: blob(said, size=1 << 70),
    "a hash that is none": lambda said: blob(said, sha256="x" * 64),
    "a blob that no file needs": lambda said: said["blobs"].append(["sha256-" + "0" * 64, 1, "0" * 64]),
    "a blob twice": lambda said: said["blobs"].append(said["blobs"][-1]),
    "a blob less": lambda said: said["blobs"].pop(),
    "files that nothing pins": lambda said: (set_all(said, "digests", []), set_all(said, "validator", None)),
    "a file of unknown size": lambda said: set_all(said, "size", None),
    "a file of another size": lambda said: said["snapshots"][0]["entries"][1].update(size=4),
    "a blob's id that is not the file's": lambda said: set_all(said, "blob", "sha256-" + "0" * 64),
    "a digest that names a path": lambda said: set_all(said, "digests", [["sha256", "../../outside"]]),
    "a path that leads elsewhere": lambda said: said["snapshots"][0]["entries"][0].update(path="../outside"),
    "an absolute path": lambda said: said["snapshots"][0]["entries"][0].update(path="/outside"),
    "a name that is a path": lambda said: said["snapshots"][0].update(name="a/b"),
    "a name that leads elsewhere": lambda said: said["snapshots"][0].update(name=".."),
    "pieces cut by another rule": lambda said: said["snapshots"][0].update(layout=99),
    "more than there is to say": lambda said: said.update(token="x"),
    "too many names": lambda said: said["snapshots"][0].update(names=[f"hf://{n:03}" for n in range(99)]),
    "names that are none": lambda said: said["snapshots"][0].update(names=[1]),
    "a list": lambda said: [said],
    "no JSON": lambda _: b"{",
    "JSON without end": lambda _: b"[" * 100_000,
    "blanks": lambda said: b" " + str(said).encode(),
    "no UTF-8": lambda _: b"\xff\xfe",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_manifest_that_export_would_not_write_is_refused(lie):
    with pytest.raises(UsageError, match=r"manifest is wrong|reads version 1"):
        read(with_manifest(WHOLE, lie))


def test_the_same_manifest_is_read():
    assert with_manifest(WHOLE, lambda said: said) == WHOLE


def test_a_manifest_that_would_be_too_large_is_not_written(monkeypatch):
    monkeypatch.setattr("dfly.store.manifest.LARGEST", 10)
    with pytest.raises(UsageError, match="too many files"):
        Manifest(snapshots=[archived(FILES)], blobs=[]).encode()


def test_a_message_shows_nothing_that_drives_a_terminal():
    data = repacked(WHOLE, lambda members: first(members, name="\x1b[31mred"))
    with pytest.raises(UsageError) as caught:
        read(data)
    assert "\x1b" not in str(caught.value)


def test_snapshots_are_sorted_and_so_are_their_names():
    one, two = archived(FILES, repo="org/b"), archived(FILES, repo="org/a", revisions=("z", "main", "z"))
    manifest = Manifest(snapshots=[one, two], blobs=[ArchivedBlob("b", 1, ""), ArchivedBlob("a", 1, "")])
    assert manifest.snapshots == (two, one)
    assert [each.id for each in manifest.blobs] == ["a", "b"]
    assert two.revisions == ("main", "z")
    assert isinstance(one, Archived)
