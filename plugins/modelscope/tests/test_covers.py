"""What a snapshot tells of the hub's URLs where the hub is not there."""

import pytest

from dfly import NotFound
from dfly.backend import build_options
from dfly.testing.lent import lent_tools
from dfly.values import Entry, Snapshot
from dfly_modelscope.backend import ModelScopeBackend

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = f"modelscope://org/model@{COMMIT}"
PATHS = ("README.md", "onnx/model.onnx")
NAMES = ("modelscope://org/model",)


def snapshot(source=SOURCE, paths=PATHS, revision=COMMIT):
    entries = [Entry(path, 1, f"{SOURCE}/{path}", f"modelscope:https://modelscope.cn/{path}") for path in paths]
    return Snapshot(source, "model", entries, revision)


@pytest.fixture
def backend():
    with lent_tools() as tools:
        yield lambda **options: ModelScopeBackend(build_options(ModelScopeBackend, options, {}), tools)


@pytest.mark.parametrize(
    "url",
    [
        SOURCE,
        "modelscope://org/model",
        "modelscope://org/model@master",
        "modelscope://models/org/model@v1",
        "https://modelscope.cn/models/org/model/files",
    ],
)
def test_the_repository_by_each_of_its_names(backend, url):
    found = backend().covers(url, snapshot(), names=NAMES, revisions=("v1",))
    assert (found.source, found.name, found.entries) == (SOURCE, "model", snapshot().entries)


@pytest.mark.parametrize(
    "url",
    [
        "modelscope://org/model@dev",
        "modelscope://org/other",
        "modelscope://datasets/org/model",
        "modelscope://modelscope.ai/org/model",
    ],
)
def test_no_other_repository_revision_or_site(backend, url):
    assert backend().covers(url, snapshot(), names=NAMES) is None


def test_a_folder_and_a_file_as_the_hub_would_list_them(backend):
    folder = backend().covers("modelscope://org/model/onnx", snapshot(), names=NAMES)
    assert (folder.source, [e.path for e in folder.entries]) == (f"{SOURCE}/onnx", ["model.onnx"])
    file = backend().covers("modelscope://org/model/onnx/model.onnx", snapshot(), names=NAMES)
    assert (file.name, [e.path for e in file.entries]) == ("model.onnx", ["model.onnx"])
    with pytest.raises(NotFound):
        backend().covers("modelscope://org/model/nothing.bin", snapshot(), names=NAMES)


def test_a_part_tells_nothing_of_what_is_beside_it(backend):
    folder = snapshot(f"{SOURCE}/onnx", ("model.onnx",))
    assert backend().covers("modelscope://org/model", folder, names=("modelscope://org/model/onnx",)) is None


def test_a_repository_whose_head_nobody_tells_is_known_by_its_branch(backend):
    unpinned = snapshot("modelscope://org/model@master", revision=None)
    assert backend().covers("modelscope://org/model", unpinned) is not None
    assert backend().covers("modelscope://org/model@v1", unpinned) is None


def test_a_revision_may_be_given_as_an_option(backend):
    assert backend(revision="master").covers("modelscope://org/model", snapshot(), names=NAMES) is not None
    assert backend(revision="v9").covers("modelscope://org/model", snapshot(), names=NAMES) is None
    assert backend(revision="v9").covers(SOURCE, snapshot(), names=NAMES) is None


def test_the_international_site_is_one_that_the_url_may_leave_open(backend):
    there = snapshot(f"modelscope://modelscope.ai/org/model@{COMMIT}")
    assert backend().covers("modelscope://org/model", there, names=NAMES) is not None
    assert backend().covers("modelscope://modelscope.ai/org/model", there, names=NAMES) is not None
