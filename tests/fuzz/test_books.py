"""What is on the disk: somebody, a crash or a dying disk may have written anything into it, and it is of use or of none."""

import json
import os

from hypothesis import example
from hypothesis import strategies as st
from tests.fuzz.material import fuzz, junk, numbers, raw_bodies, spoilt, texts, torn

from dfly.boot import boot_id
from dfly.daemon.records import Records
from dfly.errors import OutputError
from dfly.layout import Layout
from dfly.output.receipt import matches, record
from dfly.seed.keys import Keys
from dfly.store.journal import Header, read
from dfly.store.meta import Meta, read_meta, write_meta
from dfly.store.survivors import survivors
from dfly.values import LAYOUT_VERSION, Digest, Entry

SIZE = 5 * Layout(1).segment_length // 2
HEADER = Header(blob="sha256-00", size=SIZE, validator="v")
LINES = [
    {"blob": "sha256-00", "size": SIZE, "validator": "v", "layout": LAYOUT_VERSION, "format": 1, "boot": "this"},
    {"segment": 0, "pieces": "A" * 427 + "="},
    {"synced": 1},
    {"piece": 17, "sha1": "A" * 27 + "="},
    {"segment": 1, "pieces": ""},
]
DEEP = b"[" * 5000


def written(lines):
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_the_sample_is_a_journal(tmp_path):
    (tmp_path / "journal").write_bytes(written(LINES))
    boot, records, loose = read(str(tmp_path / "journal"), HEADER)
    assert (boot, [r.segment for r in records], [r.synced for r in records]) == ("this", [0, 1], [True, False])
    assert [piece.piece for piece in loose] == [17]


@fuzz(
    spoilt(LINES).map(lambda v: written(v if isinstance(v, list) else [v])) | torn(written(LINES)) | raw_bodies,
    examples=150,
)
@example(written(LINES[:1]) + DEEP + b"\n")
@example(DEEP + b"\n")
@example(written([*LINES[:1], {"segment": -1, "pieces": ""}, {"segment": 10**30, "pieces": "AA=="}]))
@example(
    written(
        [*LINES[:1], {"segment": True, "pieces": ""}, {"synced": True}, {"synced": -5}, {"piece": 1e400, "sha1": ""}]
    )
)
@example(written([*LINES[:1], {"segment": 0, "pieces": "é"}]))
def test_a_journal_vouches_for_segments_that_there_can_be_or_for_nothing(tmp_path_factory, content):
    folder = _folder(tmp_path_factory, "journal")
    path, data = os.path.join(folder, "journal"), os.path.join(folder, "data")
    with open(path, "wb") as file:
        file.write(content)
    with open(data, "w+b") as file:
        file.truncate(SIZE)
        records, loose = survivors(file.fileno(), path, HEADER, "this")
    layout = Layout(SIZE)
    assert all(0 <= r.segment < layout.segments for r in records)
    assert all(0 <= p.piece < layout.pieces and len(p.sha1) in (0, 20) for p in loose)
    with open(data, "rb") as file:
        later, none = survivors(file.fileno(), path, HEADER, "another")
    # after another boot only what was synced, or is right
    assert {r.segment for r in later} <= {r.segment for r in records}
    assert none == ()


META = {"blob": "sha256-00", "size": 1, "sha256": "00", "sources": ["u"], "boot": "b", "synced": True, "mtime_ns": 1}


@fuzz(spoilt(META).map(lambda v: json.dumps(v).encode()) | torn(json.dumps(META).encode()) | raw_bodies, examples=150)
@example(DEEP)
@example(b'{"size": 1e999}')
@example(json.dumps(META | {"size": float("inf")}).encode())
@example(json.dumps(META | {"sources": 3}).encode())
@example(json.dumps(META | {"mtime_ns": None}).encode())
def test_a_meta_file_is_one_or_none(tmp_path_factory, content):
    path = os.path.join(_folder(tmp_path_factory, "meta"), "meta")
    with open(path, "wb") as file:
        file.write(content)
    meta = read_meta(path)
    assert meta is None or isinstance(meta.size, int)


@fuzz(st.builds(Meta, blob=texts, size=numbers, sha256=texts, sources=st.lists(texts).map(tuple), boot=texts))
@example(Meta(blob="\ud800", size=10**400, sha256="", boot="\0"))
def test_a_meta_file_comes_back_as_it_was_written(tmp_path_factory, meta):
    path = os.path.join(_folder(tmp_path_factory, "meta"), "meta")
    write_meta(path, meta)
    assert read_meta(path) in (meta, None)


ENTRY = Entry(path="a", size=4, url="u", identity="i", digests=(Digest("sha256", "0" * 64),))


@fuzz(raw_bodies | junk.map(lambda value: json.dumps(value).encode()))
@example(DEEP)
@example(b"null")
def test_a_receipt_that_says_something_else_proves_nothing(tmp_path_factory, said):
    path = os.path.join(_folder(tmp_path_factory, "receipt"), "a")
    with open(path, "wb") as file:
        file.write(b"four")
    if not record(path, ENTRY.blob):
        return
    assert matches(path, ENTRY)
    os.setxattr(path, "user.dfly", said[:4000])
    assert not matches(path, ENTRY)


@fuzz(st.dictionaries(st.sampled_from(["key", "size", "mtime_ns", "ino", "boot"]), junk, min_size=1))
def test_a_receipt_with_one_thing_spoilt_proves_nothing(tmp_path_factory, fields):
    path = os.path.join(_folder(tmp_path_factory, "receipt"), "a")
    with open(path, "wb") as file:
        file.write(b"four")
    if not record(path, ENTRY.blob):
        return
    told = json.loads(os.getxattr(path, "user.dfly"))
    os.setxattr(path, "user.dfly", json.dumps(told | fields).encode()[:4000])
    assert not matches(path, ENTRY) or (told | fields) == told
    assert not matches(path, ENTRY, boot="another") or boot_id() == "another"


@fuzz(st.binary(max_size=40))
def test_a_key_file_is_the_whole_key_or_refused(tmp_path_factory, content):
    folder = _folder(tmp_path_factory, "keys")
    os.chmod(folder, 0o700)
    path = os.path.join(folder, "key")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    try:
        keys = Keys.kept_in(folder)
    except OutputError:
        assert len(content) != 32
        return
    assert len(content) == 32
    assert len(keys.seal("x")) == 16


@fuzz(raw_bodies)
@example(DEEP)
@example(b'{"format": 1}')
@example(b'{"format": 1, "ask": [], "resolved": {}, "swarmed": 1}')
@example(b"[1]")
@example(b"\xff")
def test_a_daemon_begins_with_whatever_lies_in_its_records(tmp_path_factory, content):
    folder = _folder(tmp_path_factory, "records")
    os.chmod(folder, 0o700)
    with open(os.path.join(folder, "t.json"), "wb") as file:
        file.write(content)
    assert Records(folder).all() == []
    assert not os.path.exists(os.path.join(folder, "t.json"))


_FOLDERS: dict[str, str] = {}


def _folder(factory, name):
    """One folder below the tests' own for all examples: a thousand new ones would take longer than what is tried."""
    if name not in _FOLDERS:
        _FOLDERS[name] = str(factory.mktemp(name))
    return _FOLDERS[name]
