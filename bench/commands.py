"""The command lines of the processes under test. Benchmarks know dfly only by these and its JSON events."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dfly.testing.process import Process

HUB_PORT = 8000
SEED_PORT = 65001
REPO = "bench/blob"
BLOB = "blob.bin"
_BIN = Path(sys.executable).parent


def hub(directory: Path, *, repo: str = REPO, host: str, port: int = HUB_PORT, rate: float | None = None) -> list[str]:
    """The fixture hub with `directory` as one repository; `rate` in bytes/s for all clients together."""
    argv = [sys.executable, "-m", "dfly_hf.testing", "--root", str(directory), "--repo", repo]
    where = [] if host == "127.0.0.1" else ["--host", host]
    limit = [] if rate is None else ["--rate", str(int(rate))]
    return [*argv, *where, "--port", str(port), *limit]


def content_bytes(stats: dict[str, Any]) -> int:
    """File content that the hub has sent, from its `/_stats`."""
    return int(stats["content_bytes"] if "content_bytes" in stats else stats["bytes"])


def seed_peer(address: str, data: Path) -> list[str]:
    """A seed peer; its traffic stays inside the cluster, so plain HTTP is right."""
    return [
        str(_BIN / "dfdaemon"),
        "--seed-peer",
        "--listen",
        f"{address}:{SEED_PORT}",
        "--data-dir",
        str(data),
        "--insecure",
    ]


def node(output: Path, seeds: list[str], *, whole: bool = False, location: str = "") -> list[str]:
    """A node that fetches the blob, or the `whole` repository, through the seed peers at these addresses."""
    peers = [flag for seed in seeds for flag in ("--seed-peer", f"http://{seed}:{SEED_PORT}")]
    source = [f"hf://{REPO}", "-r"] if whole else [f"hf://{REPO}/{BLOB}"]
    where = ["--location", location] if location else []
    return [str(_BIN / "dfget"), *source, "-O", str(output), *peers, *where, "--json"]


def liar(kind: str, address: str, folder: Path, seeds: list[str]) -> list[str]:
    """A node that lies, "corrupt" or "silent" (`dfly.testing.liars`)."""
    peers = [flag for seed in seeds for flag in ("--seed-peer", f"http://{seed}:{SEED_PORT}")]
    argv = [sys.executable, "-m", "dfly.testing.liars", kind, "--url", f"hf://{REPO}/{BLOB}", *peers]
    return [*argv, "--address", address, "--folder", str(folder)]


def hf_environment(endpoint: str, home: Path) -> dict[str, str]:
    """For everything that speaks to the hub: which one, and a home without anybody's token or cache."""
    return {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


def events(out: Path) -> Iterator[dict[str, Any]]:
    """The JSON events that a node has printed; a last line that was cut short, and anything else, is passed over."""
    for line in out.read_text(errors="replace").splitlines() if out.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            yield event


def said(process: Process, lines: int = 1, *, seconds: float = 120) -> list[str]:
    """The first lines on a process's standard output, once they are there. Raises RuntimeError where they do not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = process.out.read_text().split("\n")[:-1]
        if len(found) >= lines:
            return found[:lines]
        if process.returncode is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"{process.argv[0]} does not speak:\n{process.tail()}")
