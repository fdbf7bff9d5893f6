"""What a user types: `dfget` without a seed peer, from the hub to the files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dfly.layout import Layout
from dfly.testing.commands import Outcome, run_here
from dfly_modelscope.testing import FixtureHub

WEIGHTS = os.urandom(3 << 20)
FILES = {
    "config.json": b'{"architectures": ["X"]}',
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS[::-1],
    "figures/a b+c.txt": b"odd",
    "empty": b"",
}
Dfget = Callable[..., Outcome]


@pytest.fixture
def dfget(hub: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Dfget:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
    return partial(run_here, "dfget", captured=capfd)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_model(hub: FixtureHub, dfget: Dfget, tmp_path: Path) -> None:
    hub.repo("deepseek-ai/DeepSeek-R1", FILES)
    ran = dfget("modelscope://deepseek-ai/DeepSeek-R1", "-O", "models/DeepSeek-R1/", "-r")
    assert ran.code == 0, ran.err
    assert files_of(tmp_path / "models") == {f"DeepSeek-R1/{name}": data for name, data in FILES.items()}
    assert hub.records.bytes_sent() == sum(map(len, FILES.values()))
    assert hub.records.leaks() == []
    hub.records.clear()
    again = dfget("modelscope://deepseek-ai/DeepSeek-R1", "-O", "models/DeepSeek-R1/", "-r")
    assert again.code == 0, again.err
    assert [call.kind for call in hub.calls()] == ["files"]


def test_a_file_of_a_private_model_with_a_token(hub: FixtureHub, dfget: Dfget, tmp_path: Path) -> None:
    hub.repo("deepseek-ai/DeepSeek-R1", FILES, private=True)
    hub.token("t", grants=["deepseek-ai/DeepSeek-R1"])
    for argv, env in ((["--ms-token=t"], {}), ([], {"MODELSCOPE_API_TOKEN": "t"})):
        (tmp_path / "config.json").unlink(missing_ok=True)
        ran = dfget("modelscope://deepseek-ai/DeepSeek-R1/config.json", "-O", "config.json", *argv, **env)
        assert ran.code == 0, ran.err
        assert (tmp_path / "config.json").read_bytes() == FILES["config.json"]
    denied = dfget("modelscope://deepseek-ai/DeepSeek-R1/config.json", "-O", "other.json")
    assert denied.code == 5
    assert "--ms-token" in denied.err
    assert not (tmp_path / "other.json").exists()


def test_a_file_of_a_dataset(hub: FixtureHub, dfget: Dfget, tmp_path: Path) -> None:
    hub.repo("datasets/damo/squad-zh", {"train.json": b'[{"q": "?"}]', "dev.json": b"[]"})
    ran = dfget("modelscope://datasets/damo/squad-zh/train.json", "-O", "squad/train.json")
    assert ran.code == 0, ran.err
    assert files_of(tmp_path / "squad") == {"train.json": b'[{"q": "?"}]'}


def test_a_revision(hub: FixtureHub, dfget: Dfget, tmp_path: Path) -> None:
    repo = hub.repo("deepseek-ai/DeepSeek-R1", {"config.json": b"two"})
    repo.tag("v2.0")
    repo.commit({"config.json": b"three"})
    ran = dfget("modelscope://deepseek-ai/DeepSeek-R1", "--ms-revision", "v2.0", "-O", "whole/", "-r")
    assert ran.code == 0, ran.err
    one = dfget("modelscope://deepseek-ai/DeepSeek-R1/config.json", "--ms-revision", "v2.0", "-O", "one.json")
    assert one.code == 0, one.err
    assert (files_of(tmp_path / "whole"), (tmp_path / "one.json").read_bytes()) == ({"config.json": b"two"}, b"two")
    missing = dfget("modelscope://deepseek-ai/DeepSeek-R1", "--ms-revision", "v2.O", "-O", "none/", "-r")
    assert missing.code == 4
    assert "did you mean 'v2.0'?" in missing.err
    assert not (tmp_path / "none").exists()


def test_globs_choose_and_a_pasted_link_works(hub: FixtureHub, dfget: Dfget, tmp_path: Path) -> None:
    hub.repo("owner/name", FILES)
    ran = dfget("modelscope://owner/name", "-O", "some/", "-r", "--include", "*.json", "--include", "figures/*")
    assert ran.code == 0, ran.err
    assert set(files_of(tmp_path / "some")) == {"config.json", "figures/a b+c.txt"}
    link = "https://modelscope.cn/models/owner/name/file/view/master/config.json?status=1"
    assert dfget(link, "-O", "linked.json").code == 0
    assert (tmp_path / "linked.json").read_bytes() == FILES["config.json"]


def test_a_killed_download_goes_on_where_it_was(hub: FixtureHub, dfget: Dfget, tmp_path: Path) -> None:
    weights = WEIGHTS * 8
    hub.repo("owner/name", {"model.safetensors": weights})
    hub.hold("model.safetensors", 12 << 20)
    argv = ["modelscope://owner/name/model.safetensors", "-O", "model.safetensors", "--concurrency", "1"]
    command = [str(Path(sys.executable).parent / "dfget"), *argv, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(json.loads(line)["event"] == "segment.finished" for line in process.stdout)
        process.kill()
    assert not (tmp_path / "model.safetensors").exists()
    hub.let_go()
    hub.records.clear()
    again = dfget(*argv)
    assert again.code == 0, again.err
    assert (tmp_path / "model.safetensors").read_bytes() == weights
    assert 0 < hub.records.bytes_sent() <= len(weights) - Layout(len(weights)).segment_length
