"""Stock BitTorrent clients, as their users run them, but that nothing of them leaves this machine."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

#: Seconds after which a client that is not done has failed.
LONG_ENOUGH = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def aria2c(torrent: Path, folder: Path, *more: str) -> str:
    """Download; returns what it said. Fails where it did not finish."""
    found = shutil.which("aria2c")
    if found is None:
        pytest.skip("aria2c is not installed")
    ours = (
        "--no-conf=true",
        "--enable-dht=false",
        "--enable-dht6=false",
        "--bt-enable-lpd=false",
        "--disable-ipv6=true",
    )
    quick = ("--seed-time=0", "--file-allocation=none", "--summary-interval=0", "--console-log-level=notice")
    first = min(free_port(), 65_000)
    where = (f"--listen-port={first}-{first + 99}", f"--dir={folder}")  # the first may be somebody's by then
    done = subprocess.run(
        [found, *ours, *quick, *where, *more, str(torrent)],
        capture_output=True,
        text=True,
        timeout=LONG_ENOUGH,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def libtorrent(torrent: Path, folder: Path) -> None:
    """The same with libtorrent as it comes, in a process of its own."""
    script = Path(__file__).with_name("stock_libtorrent.py")
    argv = [sys.executable, str(script), str(torrent), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def transmission(torrent: Path, folder: Path) -> None:
    """The same with Transmission's command line client, which dials no peer at a loopback address."""
    found = shutil.which("transmission-cli")
    if found is None:
        pytest.skip("transmission-cli is not installed")
    done = folder / "done.sh"
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text(f"#!/bin/sh\ntouch '{folder}/.done'\n")
    done.chmod(0o755)
    config = folder / ".config"
    config.mkdir()
    (config / "settings.json").write_text('{"dht-enabled": false, "lpd-enabled": false, "utp-enabled": false}')
    argv = [found, "-g", config, "-w", folder, "-p", str(free_port()), "-M", "-et", "-f", done, torrent]
    client = subprocess.Popen(list(map(str, argv)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + LONG_ENOUGH
        while not (folder / ".done").exists():
            assert time.monotonic() < deadline
            assert client.poll() is None
            time.sleep(0.1)
    finally:
        client.kill()
        client.wait()
