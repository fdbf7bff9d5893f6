"""Sources of every kind are carried: what was asked for alone, what no revision pins, and what nothing pins at all."""

import pytest

from dfly.testing.origin import FaultyOrigin
from dfly.testing.swarm import tree
from dfly_modelscope.testing import FixtureHub as ModelScopeHub

from .conftest import FILES, REPO, WEIGHTS

ALONE = {"back_to_source": False}


def test_a_single_file_under_each_of_its_names(carried, closed, hub):
    url = f"hf://{REPO}/weights.safetensors"
    swarm = closed(carried(url, recursive=False))
    for name in (url, f"hf://{REPO}@main/weights.safetensors"):
        node = swarm.node(name, recursive=False, joining=ALONE)
        node.done()
        assert node.output.read_bytes() == WEIGHTS
    node = swarm.node(url, joining=ALONE)
    node.done()
    assert tree(node.output) == {"weights.safetensors": WEIGHTS}
    assert hub.calls() == []


@pytest.mark.parametrize("etag", [None, "", 'W/"weak"'], ids=["strong", "none", "weak"])
@pytest.mark.parametrize("size", [1000, 1 << 20], ids=["small", "large"])
def test_a_file_of_a_web_server_whatever_pins_it(carried, closed, etag, size):
    with FaultyOrigin() as origin:
        link = origin.add("model.bin", WEIGHTS[:size], etag=etag)
        archive = carried(f"{link}?sig=secret", recursive=False) if etag is None else carried(link, recursive=False)
    assert b"secret" not in archive.read_bytes()
    node = closed(archive).node(f"{link}?sig=another", recursive=False, joining=ALONE)
    node.done()
    assert node.output.read_bytes() == WEIGHTS[:size]


def test_a_file_of_unknown_length(carried, closed):
    from dfly.testing import faults

    with FaultyOrigin() as origin:
        link = origin.add("model.bin", WEIGHTS[:5000], etag="")
        origin.fault("model.bin", faults.chunked(), times=1000)
        archive = carried(link, recursive=False)
    node = closed(archive).node(link, recursive=False, joining=ALONE)
    node.done()
    assert node.output.read_bytes() == WEIGHTS[:5000]


def test_a_repository_of_another_hub(carried, closed, hub, monkeypatch):
    with ModelScopeHub() as other:
        other.repo("org/model", FILES)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", other.url)
        archive = carried("modelscope://org/model")
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
        calls = len(other.calls())
        for url in ("modelscope://org/model", "modelscope://org/model@master/onnx"):
            swarm = closed(archive, data=f"closed-{len(url)}")
            node = swarm.node(url, output=f"out-{len(url)}", joining=ALONE)
            node.done()
            below = "" if len(url) < 23 else "onnx/"
            assert tree(node.output) == {p[len(below) :]: d for p, d in FILES.items() if p.startswith(below)}
        assert len(other.calls()) == calls
