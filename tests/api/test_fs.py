"""`dfly://` in fsspec: whatever opens files with it reads sources, of one revision, and changes nothing."""

import io
import json
import struct

import fsspec
import pytest
from fsspec.registry import get_filesystem_class

import dfly
from dfly.fs import DflyFileSystem
from dfly.layout import MIB
from dfly.plugins import Plugins
from dfly.testing.lent import QUICK
from tests.swarm_e2e.files import some_bytes

ROWS = b"name,size\none,1\ntwo,2\n"
BIG = some_bytes(3 * MIB)


@pytest.fixture
def repo(hub):
    files = {"config.json": b"{}", "data/rows.csv": ROWS, "data/deep/model.bin": BIG}
    return hub.repo("owner/name", files)


@pytest.fixture
def files(hub, repo):
    DflyFileSystem.clear_instance_cache()
    return fsspec.filesystem("dfly")


def test_fsspec_finds_it_by_its_entry_point():
    assert get_filesystem_class("dfly") is DflyFileSystem


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("dfly://hf/owner/repo@rev/a/b.bin", "hf://owner/repo@rev/a/b.bin"),
        ("dfly://hf/datasets/owner/repo", "hf://datasets/owner/repo"),
        ("dfly://modelscope/owner/repo@v1/x", "modelscope://owner/repo@v1/x"),
        ("dfly://s3/bucket/key", "s3://bucket/key"),
        ("dfly://https/host:1/path", "https://host:1/path"),
    ],
)
def test_a_path_is_a_source_url_in_other_words(path, url):
    assert DflyFileSystem.source_url(path) == url


def test_fsspec_opens_a_file_and_reads_text_of_it(files):
    with fsspec.open("dfly://hf/owner/name@main/data/rows.csv", "rt") as file:
        assert file.readlines() == ROWS.decode().splitlines(keepends=True)


def test_it_lists_finds_and_globs(files):
    root = "dfly://hf/owner/name"
    assert files.ls(root, detail=False) == ["hf/owner/name/config.json", "hf/owner/name/data"]
    assert [info["type"] for info in files.ls(root)] == ["file", "directory"]
    assert files.ls("hf/owner/name/data/deep", detail=False) == ["hf/owner/name/data/deep/model.bin"]
    assert files.find(root) == [
        "hf/owner/name/config.json",
        "hf/owner/name/data/deep/model.bin",
        "hf/owner/name/data/rows.csv",
    ]
    assert files.glob(f"{root}/**/*.bin") == ["hf/owner/name/data/deep/model.bin"]
    assert files.glob(f"{root}/*.json") == ["hf/owner/name/config.json"]
    assert files.du(root) == 2 + len(ROWS) + len(BIG)


@pytest.mark.parametrize("listed", [True, False])
def test_an_info_says_what_a_path_is(files, repo, listed):
    if listed:
        files.ls("dfly://hf/owner/name")
    info = files.info("dfly://hf/owner/name/data/deep/model.bin")
    assert (info["size"], info["type"]) == (len(BIG), "file")
    assert info["url"].startswith("hf://owner/name@")
    assert len(info["digests"]["sha256"]) == 64
    assert files.isdir("dfly://hf/owner/name/data")
    assert files.isdir("dfly://hf/owner/name")
    assert files.isfile("dfly://hf/owner/name/config.json")
    assert not files.exists("dfly://hf/owner/name/nothing")


def test_what_names_no_source_is_no_folder_and_a_missing_plugin_is_told_of(files):
    for path in ("dfly://", "dfly://hf", "dfly://hf/owner", "dfly://hf/owner/nobody"):
        assert not files.isdir(path)
    with pytest.raises(dfly.UnknownScheme):
        files.isdir("dfly://gopher/hole")


def test_listings_that_are_good_for_no_time_are_listings_all_the_same(plugins):
    files = DflyFileSystem(plugins=plugins, ttl=0)
    names = ["memory/tiny/config.json", "memory/tiny/model.bin"]
    assert files.ls("dfly://memory/tiny", detail=False) == names
    assert files.find("dfly://memory/tiny") == names
    assert files.ls("dfly://memory/tiny/config.json", detail=False) == names[:1]
    assert files.isdir("dfly://memory/tiny")


def test_ls_of_a_file_is_the_file(files):
    (info,) = files.ls("dfly://hf/owner/name/config.json")
    assert (info["name"], info["size"]) == ("hf/owner/name/config.json", 2)


def test_ranges_are_read_without_the_rest(hub, files):
    path = "dfly://hf/owner/name/data/deep/model.bin"
    assert files.cat_file(path, start=-8) == BIG[-8:]
    assert files.cat_file(path, start=MIB, end=MIB + 10) == BIG[MIB : MIB + 10]
    assert files.cat_ranges([path, path], [0, 5], [4, 9]) == [BIG[:4], BIG[5:9]]
    assert hub.records.bytes_sent() < MIB


def test_what_was_listed_is_read_of_the_revision_that_was_listed(files, repo):
    files.ls("dfly://hf/owner/name")
    before = files.ukey("dfly://hf/owner/name/config.json")
    repo.commit({"config.json": b'{"new": 1}'})
    assert files.cat_file("dfly://hf/owner/name/config.json") == b"{}"
    files.invalidate_cache()
    assert files.cat_file("dfly://hf/owner/name/config.json") == b'{"new": 1}'
    assert files.ukey("dfly://hf/owner/name/config.json") != before


def test_errors_are_those_of_pythons_own_files(files):
    with pytest.raises(FileNotFoundError):
        files.info("dfly://hf/owner/name/nothing")
    with pytest.raises(FileNotFoundError):
        files.ls("dfly://hf/owner/nobody")
    for listed in (False, True):
        with pytest.raises(IsADirectoryError):
            files.open("dfly://hf/owner/name/data")
        if not listed:
            files.ls("dfly://hf/owner/name")


@pytest.mark.parametrize(
    "change",
    [
        lambda files, path: files.open(path, "wb"),
        lambda files, path: files.open(path, "ab"),
        lambda files, path: files.pipe_file(path, b"x"),
        lambda files, path: files.mkdir(path),
        lambda files, path: files.makedirs(path),
        lambda files, path: files.rm(path),
        lambda files, path: files.rm_file(path),
        lambda files, path: files.rmdir(path),
        lambda files, path: files.touch(path),
        lambda files, path: files.cp_file(path, path),
        lambda files, path: files.mv(path, path),
    ],
)
def test_nothing_can_be_changed_and_the_error_says_so(plugins, change):
    files = DflyFileSystem(plugins=plugins)
    with pytest.raises(io.UnsupportedOperation, match="only read"):
        change(files, "dfly://memory/tiny/new.bin")


def test_a_private_source_takes_its_token_from_the_storage_options(swarm):
    from tests.swarm_e2e.origin import Origin

    private = Origin({"big.bin": BIG}, token="secret")
    plugins = Plugins(extra=[private.backend])
    with pytest.raises(PermissionError):
        fsspec.open("dfly://memory/model/big.bin", plugins=plugins).open()
    given = {"options": {"memory": {"token": "secret"}}, "seed_peers": [swarm(plugins).url], "patience": QUICK}
    with fsspec.open("dfly://memory/model/big.bin", plugins=plugins, **given) as file:
        assert file.read(5) == BIG[:5]
        assert file.way == "seed-peer"


def test_a_safetensors_header_is_read_as_its_library_reads_it(hub, files):
    header = json.dumps({"weight": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    hub.repo("owner/tensors", {"model.safetensors": struct.pack("<Q", len(header)) + header + b"\1\2\3\4"})
    with fsspec.open("dfly://hf/owner/tensors/model.safetensors") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        start, stop = json.loads(file.read(length))["weight"]["data_offsets"]
        file.seek(8 + length + start)
        assert file.read(stop - start) == b"\1\2\3\4"


def test_pandas_reads_a_table(files):
    pandas = pytest.importorskip("pandas")
    assert list(pandas.read_csv("dfly://hf/owner/name/data/rows.csv")["size"]) == [1, 2]


def test_pyarrow_reads_a_table(files):
    csv = pytest.importorskip("pyarrow.csv")
    with files.open("dfly://hf/owner/name/data/rows.csv") as file:
        assert csv.read_csv(file).num_rows == 2
