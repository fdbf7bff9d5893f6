"""The example plugin is complete: its wheel and core's, in an environment that has nothing else, do the whole job."""

import random
import re
import shutil
import sys

import pytest

from .bare import ROOT, BareEnvironment, build_wheel

EXAMPLE = ROOT / "tests" / "example_plugin"
FILES = {"frog.bin": random.Random(1).randbytes(2_000_000), "grimm/wolf.txt": b"What big ears you have!", "empty": b""}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The example as a repository of its own."""
    return shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("example") / "project")


@pytest.fixture(scope="module")
def bare(core_wheel, project):
    folder = project.parent
    return BareEnvironment.create(folder / "venv", core_wheel, build_wheel(project, folder))


@pytest.fixture(scope="module")
def node(core_wheel, tmp_path_factory):
    """An environment that has never heard of shelves, nor of any other hub."""
    return BareEnvironment.create(tmp_path_factory.mktemp("node") / "venv", core_wheel)


@pytest.fixture
def shelves(project, monkeypatch):
    monkeypatch.syspath_prepend(project / "tests")
    from shelves import Shelves

    with Shelves() as running:
        running.publish("tales", "1", FILES)
        yield running
    sys.modules.pop("shelves")


def assert_once(asked) -> None:
    """The file was asked for in one piece, or in segments that meet: how many workers were free decides."""
    size = len(FILES["frog.bin"])
    ranges = [seen.range or f"bytes=0-{size - 1}" for seen in asked]
    spans = sorted(tuple(map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", text).groups())) for text in ranges)
    assert [start for start, _ in spans] + [size] == [0] + [last + 1 for _, last in spans], "not each byte once"


def files_of(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_its_flags_and_variables_are_in_the_help(bare):
    text = bare.run("dfget", "--help", COLUMNS="100")
    assert "shelf://  Shelves of files" in text
    assert "dfget shelf://fairytales -O tales/ -r" in text
    for name in ("--shelf-endpoint", "--shelf-token", "SHELF_TOKEN", "DFLY_SHELF_ENDPOINT"):
        assert name in text


def test_it_downloads_with_its_flags(bare, shelves, tmp_path):
    bare.run(
        "dfget", "shelf://tales", "-O", tmp_path / "out", "-r",
        "--shelf-endpoint", shelves.url, "--shelf-token", shelves.token,
    )  # fmt: skip
    assert files_of(tmp_path / "out") == FILES


def test_it_downloads_with_its_variables_and_says_nothing_of_the_token(bare, shelves, tmp_path):
    env = {"SHELF_ENDPOINT": shelves.url, "SHELF_TOKEN": shelves.token}
    told = bare.run("dfget", "shelf://tales/frog.bin", "-O", tmp_path / "frog", "--json", "--log-level", "debug", **env)
    assert (tmp_path / "frog").read_bytes() == FILES["frog.bin"]
    assert '"file.finished"' in told
    assert shelves.token not in told


def test_a_swarm_brings_its_files_and_the_token_goes_with_the_user(bare, shelves, tmp_path):
    env = {"SHELF_TOKEN": shelves.token}
    with bare.seed_peer(tmp_path / "seed", SHELF_ENDPOINT=shelves.url) as seed_peer:
        for node in ("one", "two"):
            told = bare.run(
                "dfget", "shelf://tales", "-O", tmp_path / node, "-r", "--json", "--no-back-to-source",
                "--seed-peer", seed_peer, "--shelf-endpoint", shelves.url, **env,
            )  # fmt: skip
            assert files_of(tmp_path / node) == FILES
            assert '"source": "hub"' not in told
    assert_once(shelves.asked("tales@1/frog.bin"))


def test_nodes_that_have_never_heard_of_it_have_its_flags_and_variables(bare, node, shelves, tmp_path):
    """The seed peer has a token of its own and it opens everything; a node's own token, or none, is what counts."""
    away = {"SHELF_ENDPOINT": "http://127.0.0.1:9", "SHELF_TOKEN": shelves.token, "AWS_SECRET_ACCESS_KEY": "a-cloud's"}
    with bare.seed_peer(tmp_path / "seed", SHELF_ENDPOINT=shelves.url, SHELF_TOKEN=shelves.token) as seed_peer:
        text = node.run("dfget", "--help", "--seed-peer", seed_peer, COLUMNS="100")
        assert all(name in text for name in ("--shelf-endpoint", "--shelf-token", "SHELF_TOKEN"))
        argv = ["dfget", "shelf://tales", "-r", "--json", "--log-level", "debug", "--seed-peer", seed_peer]
        told = node.run(*argv, "-O", tmp_path / "one", "--shelf-endpoint", shelves.url, **away)
        told += node.run(*argv, "-O", tmp_path / "two", "--shelf-token", shelves.token)
        refused = node.fail(*argv, "-O", tmp_path / "three")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two") == FILES
    assert '"source": "hub"' not in told
    assert shelves.token not in told + refused
    assert '"type":"AccessDenied"' in refused
    assert not (tmp_path / "three").exists()
    assert_once(shelves.asked("tales@1/frog.bin"))
    sent = [value for seen in shelves.requests for value in seen.headers.values()]
    assert not any("a-cloud" in value for value in sent)


def test_a_node_without_it_says_what_to_install_where_there_is_no_seed_peer(node, tmp_path):
    told = node.fail("dfget", "shelf://tales", "-O", tmp_path / "out", "-r")
    assert "pip install dfly-plugin-shelf" in told


def test_its_own_contract_test_passes(bare, project):
    bare.install("pytest")
    told = bare.run("python", "-m", "pytest", "-q", "-rs", "--rootdir", project, project / "tests")
    assert int(re.search(r"(\d+) passed", told)[1]) > 25
    left_out = set(re.findall(r"^SKIPPED .*?: (.*)$", told, re.MULTILINE))
    assert left_out <= {"fills no cache of its hub's tools"}, told
