"""A model in a bucket goes through a seed peer to four nodes, and leaves the store once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import dfly
from dfly.config import Fetch
from dfly.plugins import Plugins
from dfly.testing.models import a_model
from dfly.testing.swarm import Swarm, small_swarm, tree
from dfly_s3.testing import ACCESS_KEY, SECRET_KEY, SeaweedFS

from .conftest import some_bytes

CHECKOUT = Path(__file__).parents[3]
MIB = 1 << 20
SMALL = {"config.json": b"{}", "model.safetensors": some_bytes(3 * MIB), "figures/a b+c.txt": b"odd", "empty": b""}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_model(CHECKOUT, tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def _the_stores_own(server: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process, and so the seed peer, has the store's keys in its environment."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[Swarm]:
    with small_swarm(tmp_path, plugins=Plugins()) as running:
        yield running


def put(server: SeaweedFS, bucket: str, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        server.boto3.put_object(Bucket=bucket, Key=name, Body=content)


def test_a_real_model_reaches_four_nodes_and_leaves_the_store_once(
    server: SeaweedFS, bucket: str, swarm: Swarm, model: Path
) -> None:
    files = tree(model)
    put(server, bucket, {f"models/minilm/{name}": content for name, content in files.items()})
    for node in swarm.several(4, f"s3://{bucket}/models/minilm/"):
        report = node.done()
        assert tree(node.output) == files
        assert report.sources.get("hub", 0) == 0
    assert swarm.stats()["hub_bytes"] == sum(map(len, files.values()))


def test_globs_choose_what_leaves_the_store(server: SeaweedFS, bucket: str, swarm: Swarm) -> None:
    put(server, bucket, SMALL)
    for node in swarm.several(2, f"s3://{bucket}", include=["*.json", "figures/"], exclude=["empty"]):
        node.done()
        assert set(tree(node.output)) == {"config.json", "figures/a b+c.txt"}
    assert swarm.stats()["hub_bytes"] == len(b"{}odd")


def test_a_version_stays_what_it_was_while_its_key_is_written_again(
    server: SeaweedFS, bucket: str, swarm: Swarm, tmp_path: Path
) -> None:
    server.boto3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = server.boto3.put_object(Bucket=bucket, Key="model.gguf", Body=SMALL["model.safetensors"])["VersionId"]
    server.boto3.put_object(Bucket=bucket, Key="model.gguf", Body=b"new")
    old = swarm.node(f"s3://{bucket}/model.gguf?versionId={version}", output=tmp_path / "old", recursive=False)
    new = swarm.node(f"s3://{bucket}/model.gguf", output=tmp_path / "new", recursive=False)
    old.done(), new.done()
    assert (old.output.read_bytes(), new.output.read_bytes()) == (SMALL["model.safetensors"], b"new")


def test_an_object_that_is_replaced_is_fetched_anew_and_the_others_are_not(
    server: SeaweedFS, bucket: str, swarm: Swarm
) -> None:
    put(server, bucket, SMALL)
    swarm.node(f"s3://{bucket}").done()
    before = swarm.stats()["hub_bytes"]
    put(server, bucket, {"config.json": b"{'new': 1}"})
    node = swarm.node(f"s3://{bucket}")
    node.done()
    assert tree(node.output) == {**SMALL, "config.json": b"{'new': 1}"}
    assert swarm.stats()["hub_bytes"] - before == len(b"{'new': 1}")


def test_the_seed_peer_signs_with_its_own_and_a_machines_credentials_stay_where_they_are(
    server: SeaweedFS, bucket: str, swarm: Swarm, tmp_path: Path
) -> None:
    put(server, bucket, SMALL)
    # were they sent, the store would refuse them
    elsewhere = {"AWS_ACCESS_KEY_ID": "of-the-node", "AWS_SECRET_ACCESS_KEY": "nodes-secret", "AWS_SESSION_TOKEN": "n"}
    node = swarm.process(f"s3://{bucket}", tmp_path / "out", "--log-level", "debug", **elsewhere)
    told = node.rest()
    assert node.wait() == 0, node.stderr and node.stderr.read()
    assert tree(tmp_path / "out") == SMALL
    logged = node.stderr.read() if node.stderr else ""
    assert not any(value in str(told) + logged for value in ("of-the-node", "nodes-secret", SECRET_KEY))


def test_keys_that_a_user_gives_go_along_and_decide(server: SeaweedFS, bucket: str, swarm: Swarm) -> None:
    put(server, bucket, SMALL)
    right = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    node = swarm.node(f"s3://{bucket}", options={"s3": right})
    node.done()
    assert tree(node.output) == SMALL
    wrong = swarm.node(f"s3://{bucket}", options={"s3": {**right, "access_key_id": "of-the-user"}})
    assert isinstance(wrong.error(), dfly.AccessDenied)
    assert not wrong.output.exists()


def test_a_private_bucket_is_not_opened_to_a_node_by_the_seed_peers_keys_at_a_store_that_the_node_chose(
    server: SeaweedFS, bucket: str, swarm: Swarm
) -> None:
    put(server, bucket, SMALL)
    chosen = server.url.replace("127.0.0.1", "localhost")
    node = swarm.node(f"s3://{bucket}", options={"s3": {"endpoint": chosen}}, joining={"back_to_source": False})
    error = node.error()
    assert isinstance(error, dfly.AccessDenied)
    assert "give --s3-access-key-id and --s3-secret-access-key" in error.hint


def test_a_node_that_was_killed_goes_on_and_the_store_sends_nothing_twice(
    server: SeaweedFS, bucket: str, tmp_path: Path
) -> None:
    files = {"model.safetensors": some_bytes(32 * MIB + 1), "config.json": b"{}"}
    put(server, bucket, files)
    with small_swarm(tmp_path, plugins=Plugins(), fetch=Fetch(limit_rate=24 * MIB)) as swarm:
        killed = swarm.process(f"s3://{bucket}", tmp_path / "out")
        killed.until("segment.finished", path="model.safetensors")
        killed.kill()
        assert killed.wait() < 0
        again = swarm.process(f"s3://{bucket}", tmp_path / "out")
        told = again.rest()
        assert again.wait() == 0, again.stderr and again.stderr.read()
        assert tree(tmp_path / "out") == files
        assert swarm.stats()["hub_bytes"] == sum(map(len, files.values()))
    assert max(event["had"] for event in told if event["event"] == "file.started") > 0
