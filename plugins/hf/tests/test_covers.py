"""What a snapshot tells of the hub's URLs where the hub is not there."""

import attrs
import pytest

from dfly import NotFound, UsageError
from dfly.backend import build_options
from dfly.testing.lent import lent_tools
from dfly.values import Entry, Snapshot
from dfly_hf.backend import HfBackend

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
SOURCE = f"hf://org/model@{COMMIT}"
PATHS = ("README.md", "onnx/model.onnx", "onnx/q4/model.onnx")


def snapshot(source=SOURCE, paths=PATHS):
    entries = [
        Entry(path, 1, f"{SOURCE}/{path}", f"hf:https://huggingface.co/models/org/model/{path}") for path in paths
    ]
    return Snapshot(source, "model", entries, COMMIT)


@pytest.fixture
def backend():
    with lent_tools() as tools:
        yield lambda **options: HfBackend(build_options(HfBackend, options, {}), tools)


def paths(found):
    return None if found is None else [entry.path for entry in found.entries]


@pytest.mark.parametrize(
    "url",
    [
        SOURCE,
        f"hf://org/model@{COMMIT.upper()}",
        "hf://org/model",
        "hf://models/org/model@main",
        "hf://org/model@v1.0",
        "https://huggingface.co/org/model/tree/main",
        f"https://huggingface.co/org/model/tree/{COMMIT}/",
    ],
)
def test_the_repository_by_each_of_its_names(backend, url):
    whole = snapshot()
    found = backend().covers(url, whole, names=("hf://org/model", "hf://org/model@v1.0"))
    assert (found.source, found.name, found.entries, found.id) == (SOURCE, "model", whole.entries, whole.id)


@pytest.mark.parametrize(
    "url",
    [
        "hf://org/model@dev",
        f"hf://org/model@{OTHER}",
        "hf://org/other",
        "hf://datasets/org/model",
        "hf://gpt2",
        "hf://org/model@0123456",
    ],
)
def test_no_other_repository_or_revision(backend, url):
    assert backend().covers(url, snapshot(), names=("hf://org/model",)) is None


def test_a_branch_only_where_it_was_asked_for_by_that_name(backend):
    assert backend().covers("hf://org/model", snapshot()) is None
    assert backend().covers("hf://org/model", snapshot(), names=("hf://org/model@dev",)) is None
    assert backend().covers("hf://org/model@dev", snapshot(), revisions=("dev",)) is not None
    assert backend().covers("hf://org/model@a%2Fb", snapshot(), names=("hf://org/model@a%2Fb",)) is not None


def test_a_folder_and_a_file_as_the_hub_would_list_them(backend):
    hub, names = backend(), ("hf://org/model",)
    folder = hub.covers("hf://org/model/onnx/", snapshot(), names=names)
    assert (folder.source, folder.name, paths(folder)) == (f"{SOURCE}/onnx", "onnx", ["model.onnx", "q4/model.onnx"])
    file = hub.covers("hf://org/model@main/onnx/q4/model.onnx", snapshot(), names=names)
    assert (file.source, file.name, paths(file)) == (f"{SOURCE}/onnx/q4/model.onnx", "model.onnx", ["model.onnx"])
    assert file.entries[0].url == file.source


def test_what_the_revision_has_not_is_not_found(backend):
    with pytest.raises(NotFound) as caught:
        backend().covers("hf://org/model/onnx/model.onx", snapshot(), names=("hf://org/model",))
    assert caught.value.kind == "file"
    assert "'onnx/model.onnx'" in caught.value.hint


def test_a_folder_tells_nothing_of_what_is_beside_it(backend):
    hub, names = backend(), ("hf://org/model/onnx",)
    folder = attrs.evolve(snapshot(f"{SOURCE}/onnx", ("model.onnx", "q4/model.onnx")), name="onnx")
    assert paths(hub.covers(f"{SOURCE}/onnx", folder)) == ["model.onnx", "q4/model.onnx"]
    assert paths(hub.covers("hf://org/model/onnx/q4", folder, names=names)) == ["model.onnx"]
    for url in ("hf://org/model", "hf://org/model/README.md", "hf://org/model/onnx2", "hf://org/model/onn"):
        assert hub.covers(url, folder, names=names) is None


def test_a_file_tells_nothing_of_its_folder(backend):
    file = snapshot(f"{SOURCE}/onnx/model.onnx", ("model.onnx",))
    assert paths(backend().covers(f"{SOURCE}/onnx/model.onnx", file)) == ["model.onnx"]
    assert backend().covers(f"{SOURCE}/onnx", file) is None
    assert backend().covers(SOURCE, file) is None


def test_a_revision_may_be_given_as_an_option(backend):
    names = ("hf://org/model",)
    assert backend(revision="main").covers("hf://org/model", snapshot(), names=names) is not None
    assert backend(revision=COMMIT).covers("hf://org/model", snapshot()) is not None
    assert backend(revision="dev").covers("hf://org/model", snapshot(), names=names) is None
    assert backend(revision="main").covers(SOURCE, snapshot(), names=names) is not None
    assert backend(revision="dev").covers(SOURCE, snapshot(), names=names) is None


def test_a_repository_that_was_renamed_keeps_its_old_name(backend):
    assert backend().covers("hf://old/name@v2", snapshot(), names=("hf://old/name@v2",)) is not None
    assert backend().covers("hf://old/name@v3", snapshot(), names=("hf://old/name@v2",)) is None


@pytest.mark.parametrize("url", ["hf://", "hf://org/model@", "hf://org/model/../x", "https://example.com/org/model"])
def test_a_url_that_is_none_is_said_as_usual(backend, url):
    with pytest.raises(UsageError):
        backend().covers(url, snapshot())
