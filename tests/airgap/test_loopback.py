"""What was exported beside a hub is there where no hub is: under every name that it goes by, and byte for byte."""

import pytest

import dfly
from dfly.cli.dfctl import run
from dfly.plugins import Plugins
from dfly.testing.swarm import small_swarm, tree

from .conftest import FILES, REPO, TOKEN, filled

MODEL = f"hf://{REPO}"


@pytest.fixture(scope="module")
def published():
    with filled() as running:
        yield running


@pytest.fixture
def hub(published):
    """That of all tests here, as none of them changes it."""
    return published


@pytest.fixture(scope="module")
def archive(published, tmp_path_factory):
    """What was carried from it."""
    folder = tmp_path_factory.mktemp("beside")
    with pytest.MonkeyPatch.context() as patch, small_swarm(folder, plugins=Plugins()) as beside:
        patch.setenv("HF_ENDPOINT", published.url)
        beside.node(MODEL).done()
        assert run(["export", MODEL, "-o", str(folder / "it.tar"), "--seed-peer", beside.url], plugins=Plugins()) == 0
    return folder / "it.tar"


def test_four_nodes_complete_without_a_hub(archive, closed, hub):
    swarm = closed(archive)
    nodes = swarm.several(4, MODEL, joining={"back_to_source": False})
    for node in nodes:
        node.done()
        assert tree(node.output) == FILES
    assert hub.calls() == []
    assert swarm.stats()["hub_bytes"] == 0


@pytest.mark.parametrize(
    ("url", "fetch", "files"),
    [
        (f"{MODEL}@main", {}, FILES),
        (MODEL, {"options": {"hf": {"token": TOKEN}}}, FILES),
        (MODEL, {"options": {"hf": {"revision": "main"}}}, FILES),
        (f"{MODEL}@main", {"include": ["*.json", "onnx/"]}, ["config.json", "onnx/model.onnx", "onnx/notes.md"]),
        (MODEL, {"exclude": ["*.safetensors"]}, ["config.json", "empty.txt", "onnx/model.onnx", "onnx/notes.md"]),
    ],
    ids=["branch", "token", "revision option", "include", "exclude"],
)
def test_the_repository_answers_to_its_names(archive, closed, hub, url, fetch, files):
    swarm = closed(archive)
    node = swarm.node(url, joining={"back_to_source": False}, **fetch)
    node.done()
    assert tree(node.output) == {path: FILES[path] for path in files}
    assert hub.calls() == []


def test_the_commit_a_folder_and_a_single_file_are_parts_of_it(archive, closed, hub):
    commit = hub.site.repos["models", REPO].refs["refs/heads/main"]
    swarm = closed(archive)
    whole = swarm.node(f"{MODEL}@{commit}", joining={"back_to_source": False})
    folder = swarm.node(f"{MODEL}/onnx", joining={"back_to_source": False})
    file = swarm.node(f"{MODEL}@main/onnx/notes.md", recursive=False, joining={"back_to_source": False})
    link = swarm.node(
        f"https://huggingface.co/{REPO}/resolve/main/config.json", recursive=False, joining={"back_to_source": False}
    )
    for node in (whole, folder, file, link):
        node.done()
    assert tree(whole.output) == FILES
    assert tree(folder.output) == {"model.onnx": FILES["onnx/model.onnx"], "notes.md": FILES["onnx/notes.md"]}
    assert file.output.read_bytes() == FILES["onnx/notes.md"]
    assert link.output.read_bytes() == FILES["config.json"]
    assert hub.calls() == []


def test_what_is_not_in_it_is_said_at_once(archive, closed, hub):
    swarm = closed(archive)
    missing = swarm.node(f"{MODEL}/no.bin", recursive=False, joining={"back_to_source": False}).error()
    folder = swarm.node(MODEL, recursive=False, joining={"back_to_source": False}).error()
    assert isinstance(missing, dfly.NotFound)
    assert isinstance(folder, dfly.NotAFile)
    assert hub.calls() == []
