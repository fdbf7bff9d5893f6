"""The commands as their users type them, against a real store and a strange one."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from dfly.testing.commands import Outcome, run_here
from dfly.testing.faults import Exchange
from dfly_s3.testing import SeaweedFS

from .conftest import StrangeStore, some_bytes

BIN = Path(sys.executable).parent
MIB = 1 << 20
Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder to its end."""
    monkeypatch.chdir(tmp_path)
    return partial(run_here, captured=capfd)


def test_a_prefix_comes_down_as_it_was_uploaded_and_a_second_run_does_nothing(
    server: SeaweedFS, bucket: str, run: Run, tmp_path: Path
) -> None:
    files = {"config.json": b"{}", "model.bin": some_bytes(3 * MIB), "sub dir/a+b.txt": b"odd", "empty.txt": b""}
    for name, content in files.items():
        server.boto3.put_object(Bucket=bucket, Key=f"models/llama/{name}", Body=content)
    server.boto3.put_object(Bucket=bucket, Key="models/llama/marker/", Body=b"")
    command = ("dfget", f"s3://{bucket}/models/llama/", "-O", "out", "-r", "--json")
    first = run(*command, **server.environment())
    assert first.code == 0, first.err
    out = tmp_path / "out"
    assert {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()} == files
    second = run(*command, **server.environment())
    done = json.loads(second.out.splitlines()[-1])
    assert (second.code, done["skipped"]) == (0, len(files))


def test_keys_can_be_given_as_flags(server: SeaweedFS, bucket: str, run: Run, tmp_path: Path) -> None:
    server.boto3.put_object(Bucket=bucket, Key="a.bin", Body=b"content")
    flags = ("--s3-endpoint", server.url, "--s3-access-key-id", "testkey", "--s3-secret-access-key", "testsecret")
    done = run("dfget", f"s3://{bucket}/a.bin", *flags)
    assert done.code == 0, done.err
    assert (tmp_path / "a.bin").read_bytes() == b"content"


def test_a_refusal_has_its_exit_code_and_says_what_to_do(server: SeaweedFS, bucket: str, run: Run) -> None:
    env = server.environment()
    missing = run("dfget", f"s3://{bucket}/none.bin", **env)
    denied = run("dfget", f"s3://{bucket}/a.bin", **{**env, "AWS_SECRET_ACCESS_KEY": "canary"})
    nobody = run("dfget", f"s3://{bucket}/a.bin", "--s3-endpoint", server.url)
    assert [each.code for each in (missing, denied, nobody)] == [4, 5, 5]
    assert "has no object 'none.bin'" in missing.err
    assert "the secret does not belong to the key" in denied.err
    assert "looked at --s3-access-key-id, AWS_ACCESS_KEY_ID" in nobody.err
    assert "canary" not in denied.err


def test_keys_that_cannot_be_files_side_by_side_are_refused_before_anything_is_fetched(
    store: StrangeStore, run: Run, tmp_path: Path
) -> None:
    for key in ("p/a", "p/a/b", "p/c//d", "p//e", "p/../f"):
        store.put(key)
    command = ("dfget", "s3://models/p/", "-O", "out", "-r", "--s3-endpoint", store.url)
    refused = run(*command)
    assert refused.code == 2
    for name in ("'a': is also a folder", "'c//d': empty component", "'/e': absolute", "'../f': leaves its folder"):
        assert name in refused.err
    assert not (tmp_path / "out").exists()
    chosen = run(*command, "--include", "a/b")
    assert chosen.code == 0, chosen.err
    assert (tmp_path / "out" / "a" / "b").read_bytes() == b"hi"


@pytest.fixture
def stalled(store: StrangeStore) -> Iterator[threading.Event]:
    """Set when somebody asks for what is behind the first 8 MiB; those answers stand still for ever."""
    asked = threading.Event()

    def stand_still(exchange: Exchange) -> None:
        asked.set()
        exchange.reply.stall = threading.Event()

    def behind(seen) -> bool:
        return seen.method == "GET" and int((seen.range or "bytes=0-")[6:].partition("-")[0]) >= 8 * MIB

    store.fault("models/big.bin", stand_still, times=math.inf, when=behind)
    yield asked
    store.closing.set()


def test_a_killed_download_goes_on_where_it_was(
    store: StrangeStore, stalled: threading.Event, run: Run, tmp_path: Path
) -> None:
    content = some_bytes(20 * MIB)
    store.put("big.bin", content)
    env = {"AWS_ENDPOINT_URL": store.url}
    command = [str(BIN / "dfget"), "s3://models/big.bin", "--concurrency", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | env, stderr=subprocess.DEVNULL)
    try:
        assert stalled.wait(60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    store._rules.clear()
    store.requests.clear()
    again = run("dfget", "s3://models/big.bin", "--concurrency", "1", **env)
    assert again.code == 0, again.err
    assert (tmp_path / "big.bin").read_bytes() == content
    starts = [int(seen.range[6:].partition("-")[0]) for seen in store.requests if seen.range]
    assert starts
    assert min(starts) >= 8 * MIB
    assert all(seen.range for seen in store.requests if seen.method == "GET")


def test_dfctl_put_stores_a_file_and_says_what_is_there(
    server: SeaweedFS, bucket: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "a.bin").write_bytes(b"content")
    said = run("dfctl", "put", "a.bin", f"s3://{bucket}/models/", **server.environment())
    assert said.code == 0, said.err
    assert said.out.startswith(f"stored s3://{bucket}/models/a.bin  7 B  ")
    assert "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73" in said.out
    assert server.boto3.get_object(Bucket=bucket, Key="models/a.bin")["Body"].read() == b"content"
    as_json = run(
        "dfctl", "put", "a.bin", f"s3://{bucket}/b", "--json", "--s3-region", "us-east-1", **server.environment()
    )
    told = json.loads(as_json.out)
    assert (told["url"], told["size"], told["blob"][:7]) == (f"s3://{bucket}/b", 7, "sha256-")


def test_dfctl_put_says_what_cannot_be_stored(store: StrangeStore, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"content")
    env = {"AWS_ENDPOINT_URL": store.url}
    nowhere = run("dfctl", "put", "a.bin", "s3://no-such-bucket/a", **env)
    missing = run("dfctl", "put", "none.bin", "s3://models/a", **env)
    folder = run("dfctl", "put", str(tmp_path), "s3://models/a", **env)
    read_only = run("dfctl", "put", "a.bin", "hf://owner/repo/a.bin", **env)
    assert [each.code for each in (nowhere, missing, folder, read_only)] == [4, 11, 11, 9]
    assert "there is no bucket s3://no-such-bucket" in nowhere.err
    assert "hf:// cannot be written to\nits plugin only reads" in read_only.err
