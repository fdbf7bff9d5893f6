"""Several nodes whose clients read through their endpoints: the hub sends each byte once, and nothing that nobody reads."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import huggingface_hub
import pytest

from dfly.plugins import Plugins
from dfly.testing.swarm import Swarm, small_swarm, tree
from dfly_hf.testing import FixtureHub

from .daemons import daemon

MIB = 1 << 20
LONG = 60.0
FILES = {
    **{f"model-{n}.safetensors": bytes([n, 7, 3, 1]) * (3 * MIB // 4) + bytes([n]) * MIB for n in range(6)},
    **{f"small-{n}.json": b"{}" * n for n in range(1, 5)},
}


@pytest.fixture
def swarm(hub: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swarm]:
    hub.repo("owner/name", FILES)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    with small_swarm(tmp_path, plugins=Plugins()) as running:
        yield running


@pytest.fixture
def nodes(swarm: Swarm, tmp_path: Path) -> Iterator[list[str]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(daemon(tmp_path / f"n{n}", seed_peers=(swarm.url,))) for n in range(3)]


def test_three_nodes_with_eight_workers_each_cost_the_hub_one_copy(
    hub: FixtureHub, nodes: list[str], tmp_path: Path
) -> None:
    def download(n: int) -> None:
        huggingface_hub.snapshot_download(
            "owner/name", endpoint=nodes[n], cache_dir=tmp_path / f"cache{n}", token=False, max_workers=8
        )

    threads = [threading.Thread(target=download, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(3):
        (snapshot,) = (tmp_path / f"cache{n}").glob("*/snapshots/*")
        assert tree(snapshot) == FILES
    assert hub.records.bytes_sent() == sum(map(len, FILES.values()))


def test_who_looks_at_a_repository_has_nothing_fetched(hub: FixtureHub, swarm: Swarm, nodes: list[str]) -> None:
    api = huggingface_hub.HfApi(endpoint=nodes[0], token=False)
    assert len(list(api.list_repo_tree("owner/name", recursive=True))) == len(FILES)
    head = httpx.head(f"{nodes[0]}/owner/name/resolve/main/model-0.safetensors", trust_env=False)
    assert head.status_code == 200
    # what is read comes, and with it nothing else: had more been asked for, it would have come before
    for name in ("model-3.safetensors", "small-1.json"):
        got = httpx.get(f"{nodes[0]}/owner/name/resolve/main/{name}", trust_env=False, timeout=LONG)
        assert got.content == FILES[name]
    small = sum(len(content) for name, content in FILES.items() if name.startswith("small"))
    assert hub.records.bytes_sent() == len(FILES["model-3.safetensors"]) + small


def test_nodes_that_read_different_files_do_not_wait_for_each_other(hub: FixtureHub, nodes: list[str]) -> None:
    got: dict[int, bytes] = {}

    def read(n: int) -> None:
        url = f"{nodes[n]}/owner/name/resolve/main/model-{n}.safetensors"
        got[n] = httpx.get(url, trust_env=False, timeout=LONG).content

    threads = [threading.Thread(target=read, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: FILES[f"model-{n}.safetensors"] for n in range(3)}
    assert hub.records.bytes_sent() == sum(map(len, got.values()))


def test_a_dfget_that_wants_everything_has_it_of_a_repository_that_was_only_listed(
    hub: FixtureHub, swarm: Swarm, nodes: list[str]
) -> None:
    httpx.head(f"{nodes[0]}/owner/name/resolve/main/model-0.safetensors", trust_env=False).raise_for_status()
    node = swarm.node("hf://owner/name")
    node.done()
    assert tree(node.output) == FILES
    assert hub.records.bytes_sent() == sum(map(len, FILES.values()))
