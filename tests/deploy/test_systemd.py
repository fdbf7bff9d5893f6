"""The units: systemd understands every line, their commands run as they stand there, and the log has what people look for."""

import contextlib
import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import attrs
import pytest

from dfly.testing.swarm import tree
from dfly_hf.testing import FixtureHub

from .commands import BIN, ROOT, only_flags_there_are

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
FILES = {"config.json": b"{}", "model.bin": bytes(range(256)) * 4096}
#: Every key that the units may use, by section: what a machine without systemd-analyze holds them to.
KNOWN = {
    "Unit": "Description Wants After",
    "Service": """Type NotifyAccess ExecStart Environment EnvironmentFile WatchdogSec Restart RestartSec TimeoutStopSec
        DynamicUser User RuntimeDirectory RuntimeDirectoryMode StateDirectory StateDirectoryMode ConfigurationDirectory UMask
        LimitNOFILE TasksMax ProtectSystem ProtectHome PrivateTmp PrivateDevices ProtectProc ProtectClock ProtectHostname
        ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups NoNewPrivileges
        CapabilityBoundingSet AmbientCapabilities RestrictAddressFamilies RestrictNamespaces RestrictRealtime
        RestrictSUIDSGID RemoveIPC LockPersonality MemoryDenyWriteExecute SystemCallArchitectures SystemCallFilter
        SystemCallErrorNumber""",
    "Install": "WantedBy",
}


def lines(unit: Path) -> list[tuple[str, str, str]]:
    """(section, key, value) of each setting."""
    found, section = [], ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.append((section, key, value))
    return found


def settings(unit: Path) -> dict[str, str]:
    return {key: value for _, key, value in lines(unit)}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_key_is_known_in_its_section(unit):
    assert [(s, key) for s, key, _ in lines(unit) if key not in KNOWN[s].split()] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_against_it(unit, tmp_path):
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/dfly/bin/", f"{BIN}/"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", here], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    broken = tmp_path / f"broken-{unit.name}"
    broken.write_text(here.read_text().replace("ProtectClock", "ProtectTime"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", broken], capture_output=True, text=True)
    assert "ProtectTime" in done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_it_is_hardened(unit):
    said = settings(unit)
    wanted = {"ProtectSystem": "strict", "ProtectHome": "yes", "NoNewPrivileges": "yes", "DynamicUser": "yes"}
    wanted |= {"CapabilityBoundingSet": "", "Type": "notify", "RestrictNamespaces": "yes"}
    assert {key: said[key] for key in wanted} == wanted
    # which boot this is: without it nothing that was not synced is trusted after a restart of the daemon
    assert "ProcSubset" not in said
    assert int(said["LimitNOFILE"]) >= 65536


class Unit:
    """The command of a unit, run as systemd would, below a folder; `told` is the socket that it is watched by."""

    def __init__(self, unit: Path, folder: Path, **env: str) -> None:
        said = settings(unit)
        for name in ("run", "state"):
            (folder / name).mkdir(parents=True)
        self.argv = shlex.split(said["ExecStart"].replace("%t", f"{folder}/run").replace("%S", f"{folder}/state"))
        only_flags_there_are(self.argv)
        self.argv[0] = str(BIN / Path(self.argv[0]).name)
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(folder / "notify"))
        self.told.settimeout(60)
        self.log = folder / "log"
        own = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "60000000", "HOME": str(folder), **env}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.argv, env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=log, preexec_fn=_confined
            )

    def hear(self, wanted: bytes) -> bytes:
        """The first datagram that begins so."""
        while not (said := self.told.recv(1000)).startswith(wanted):
            pass
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.told.close()


def _confined() -> None:
    """NoNewPrivileges=, and MemoryDenyWriteExecute= where the kernel can do it by itself."""
    no_new_privileges, mdwe, refuse_exec_gain = 38, 65, 1
    prctl = ctypes.CDLL(None).prctl
    prctl(no_new_privileges, 1, 0, 0, 0)
    prctl(mdwe, refuse_exec_gain, 0, 0, 0)


@attrs.frozen
class Lived:
    """What was heard of a seed peer and a node while a model went through both, and the lines of the node's log."""

    heard: dict[str, list[bytes]]
    log: Path
    ended: list[int]
    fetched: dict[str, bytes]


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> Lived:
    folder = tmp_path_factory.mktemp("systemd")
    units = ROOT / "deploy/systemd"
    with contextlib.ExitStack() as stack:
        hub = stack.enter_context(FixtureHub())
        hub.repo("o/r", FILES)
        seed = Unit(units / "dfdaemon-seed.service", folder / "s", DFLY_LISTEN="127.0.0.1:0", HF_ENDPOINT=hub.url)
        stack.callback(seed.kill)
        heard = {"seed": [seed.hear(b"READY=1"), seed.hear(b"WATCHDOG=1")]}
        url = heard["seed"][0].decode().split()[-1]
        node = Unit(units / "dfdaemon.service", folder / "n", DFLY_SEED_PEERS=url, HF_ENDPOINT=hub.url)
        stack.callback(node.kill)
        heard["node"] = [node.hear(b"READY=1"), node.hear(b"WATCHDOG=1")]
        env = {**os.environ, "HF_ENDPOINT": hub.url, "DFLY_SOCKET": str(folder / "n/run/dfly/dfly.sock")}
        command = [BIN / "dfget", "hf://o/r", "-r", "-q", "-O", folder / "model"]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        ended = []
        for unit, name in ((node, "node"), (seed, "seed")):
            unit.process.send_signal(signal.SIGTERM)
            ended.append(unit.process.wait(60))
            heard[name].append(unit.hear(b"STOPPING=1"))
        return Lived(heard, node.log, ended, tree(folder / "model"))


@pytest.mark.parametrize("name", ["seed", "node"])
def test_systemd_hears_how_it_goes(lived, name):
    ready, _, _ = lived.heard[name]
    assert b"\nSTATUS=listening at " in ready
    assert lived.ended == [0, 0]


def test_so_confined_they_bring_a_model(lived):
    assert lived.fetched == FILES


def test_the_log_has_the_line_that_journalctl_and_grep_find(lived):
    """`journalctl -u dfdaemon | grep "peer task"`: the journal keeps what a service writes, line by line."""
    found = subprocess.run(["grep", "peer task", lived.log], capture_output=True, text=True, check=True).stdout
    (line,) = map(json.loads, found.splitlines())
    assert (line["event"], line["outcome"], line["url"].partition("@")[0]) == ("peer task", "done", "hf://o/r")
    assert line["seed_peer"] == line["bytes"] == sum(map(len, FILES.values()))
    assert (line["hub"], line["files"]) == (0, len(FILES))
