"""One chaos run: a swarm on shaped links, faults from a seed, and what came of it as plain JSON.

The hub runs in this process (inside the hub's namespace), because it has to be told what to do wrong; everything else is a real
process. Nothing is judged here: `bench.chaos_report` does that.
"""

import contextlib
import errno
import filecmp
import functools
import heapq
import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from bench import commands, machine
from bench.blobs import write_blob
from bench.case import MBIT, MIB
from bench.chaos_faults import Fault, plan
from dfly.testing.cluster import Cluster, Host
from dfly.testing.process import Process
from dfly_hf.testing import FixtureHub

#: Host numbers of liars follow those of nodes.
_LIARS = 2
_KEPT = ("warning", "stalled", "error")
#: Bytes per second that the hub sends until all nodes have come.
_HELD_BACK = 100_000.0
_JOINED_SECONDS, _TICK = 120.0, 0.05
#: Seconds within which a segment is read for the digest and said to be finished.
_JUST_NOW = 1.0


@attrs.frozen(kw_only=True)
class Case:
    """`nodes` fetch `size` bytes at `nic` bytes/s each from a hub of `origin` bytes/s, with `faults` faults.

    A seed peer that another one takes over from, and that comes back, costs the hub the segments that were under way at both:
    of a file of few segments that is a large share.
    """

    nodes: int = 32
    size: int = 512 * MIB
    nic: float = 75 * MBIT
    origin: float = 30 * MBIT
    seeds: int = 2
    faults: int = 20
    kinds: tuple[str, ...] | None = None

    @property
    def bound(self) -> float:
        """Seconds below which it cannot be done, were nothing to go wrong."""
        return self.size / min(self.nic, self.origin)

    def plan(self, seed: int) -> list[Fault]:
        """The faults of one seed."""
        more: dict[str, Any] = {} if self.kinds is None else {"kinds": self.kinds}
        return plan(seed, faults=self.faults, nodes=self.nodes, span=self.bound, **more)


class ChaosRun:
    """`case` with the faults of `seed`; files go below `root`. `say` is told what happens."""

    def __init__(self, case: Case, seed: int, *, root: Path, say: Callable[[str], None]) -> None:
        self._case, self._seed, self._say = case, seed, say
        self._cluster = Cluster(case.nodes + _LIARS, root=root, nic=case.nic, seeds=case.seeds)
        self._nodes, self._liars = self._cluster.nodes[: case.nodes], list(self._cluster.nodes[case.nodes :])
        self._blob = root / "repository" / commands.BLOB
        self._faults = case.plan(seed)
        self._full = next((f.order[0] for f in self._faults if f.kind == "full disk"), None)
        self._started: dict[str, list[Process]] = {host.name: [] for host in self._cluster.hosts}
        self._busy: set[str] = set()
        self._todo: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._start = 0.0
        self._happened: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """The raw result. Raises RuntimeError where the hub or a seed peer does not start."""
        case, cluster = self._case, self._cluster
        write_blob(self._blob, case.size)
        with cluster, self._small_disk(), contextlib.ExitStack() as stack:
            self._hub = FixtureHub(host=cluster.hub.address, port=commands.HUB_PORT, rate=_HELD_BACK)
            # its thread and its sockets belong to the namespace of the thread that opens it
            cluster.hub.call(self._hub.__enter__)
            stack.callback(self._hub.__exit__, None, None, None)
            self._hub.repo(commands.REPO, self._blob.parent)
            for seed in cluster.seeds:
                self._start_seed(seed)
            for seed in cluster.seeds:
                seed.wait_until_listening(commands.SEED_PORT, process=seed.processes[-1])
            for host in self._nodes:
                self._start_node(host)
            joined = self._await_nodes()
            self._hub.limit_rate(case.origin)
            self._start = time.time()
            with machine.CpuMeter() as cpu:
                over = self._watch(self._start + 90 + 5 * case.bound)
            return {
                "kind": "chaos",
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine.facts(),
                "case": {**attrs.asdict(case), "bound": case.bound},
                "seed": self._seed,
                "joined": joined,
                "over": over,
                "plan": [fault.as_dict() for fault in self._faults],
                "happened": self._happened,
                "hub": {
                    "content_bytes": self._hub.records.bytes_sent(),
                    "stats": self._hub.records.summary(),
                    "sent": [[call.range, call.bytes, call.status] for call in self._hub.records.calls("cdn")],
                },
                "nodes": [self._seen(host) for host in self._nodes],
                "seeds": [{"name": seed.name, "log": self._warnings(seed)} for seed in cluster.seeds],
                "cpu": [[round(r.time - self._start, 3), round(r.busy, 2), round(r.total, 2)] for r in cpu.readings],
            }

    # Processes

    def _start_seed(self, seed: Host) -> None:
        argv = commands.seed_peer(seed.address, seed.directory / "data")
        env = commands.hf_environment(self._hub.url, seed.directory) | {"DFLY_CLUSTER_SECRET": "chaos-" * 8}
        self._started[seed.name].append(seed.popen(argv, env=env))

    def _start_node(self, host: Host) -> None:
        output = host.directory / "disk" / commands.BLOB
        output.parent.mkdir(exist_ok=True)
        number = len(self._started[host.name])
        argv = commands.node(output, [seed.address for seed in self._cluster.seeds])
        env = commands.hf_environment(self._hub.url, host.directory)
        self._started[host.name].append(host.popen(argv, env=env, out=host.directory / f"events{number}"))

    def _start_liar(self, kind: str) -> None:
        host = self._liars.pop()
        argv = commands.liar(kind, host.address, host.directory, [seed.address for seed in self._cluster.seeds])
        self._started[host.name].append(host.popen(argv))
        self._note(kind, host.name)

    def _process(self, host: Host) -> Process:
        return self._started[host.name][-1]

    def _await_nodes(self) -> int:
        """Wait until all nodes have a connection to a seed peer; how many had one in the end."""
        deadline = time.monotonic() + _JOINED_SECONDS
        while True:
            connected = set().union(*(seed.clients(commands.SEED_PORT) for seed in self._cluster.seeds))
            if len(connected) >= len(self._nodes) or time.monotonic() > deadline:
                return len(connected)
            time.sleep(_TICK)

    # Time

    def _watch(self, deadline: float) -> bool:
        """Let everything happen that is planned, until all nodes are done with nothing left to happen. False: too late."""
        for fault in self._faults:
            self._after(fault.at, lambda fault=fault: self._inflict(fault))  # type: ignore[misc]
        while time.time() < deadline:
            while self._todo and self._todo[0][0] <= time.time():
                heapq.heappop(self._todo)[2]()
            if not self._todo and all(self._process(host).returncode is not None for host in self._nodes):
                return True
            time.sleep(_TICK)
        return False

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        base = self._start if not self._happened and len(self._todo) < len(self._faults) else time.time()
        heapq.heappush(self._todo, (base + seconds, next(self._serial), what))

    def _note(self, kind: str, whom: str, detail: str = "") -> None:
        at = round(time.time() - self._start, 1)
        self._happened.append({"at": at, "kind": kind, "whom": whom, "detail": detail})
        self._say(f"{at:7.1f} s  {kind:10} {whom} {detail}".rstrip())

    # Faults

    def _inflict(self, fault: Fault) -> None:
        do = getattr(self, "_do_" + fault.kind.replace(" ", "_"))
        do(fault)

    def _victim(self, fault: Fault) -> Host | None:
        """The first node in the fault's order that runs and has no other trouble."""
        for number in fault.order:
            host = self._nodes[number]
            ready = host.name not in self._busy and number != self._full
            if ready and self._process(host).returncode is None:
                return host
        self._note(fault.kind, "nobody", "all are done")
        return None

    def _for_a_while(self, fault: Fault, host: Host, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._busy.add(host.name)
        self._note(fault.kind, host.name, f"for {fault.seconds:.1f} s")
        begin()

        def over() -> None:
            end()
            self._busy.discard(host.name)

        self._after(fault.seconds, over)

    def _do_kill(self, fault: Fault) -> None:
        if host := self._victim(fault):
            self._for_a_while(fault, host, host.kill, lambda: self._start_node(host))

    def _do_pause(self, fault: Fault) -> None:
        if host := self._victim(fault):
            self._for_a_while(fault, host, host.pause, host.resume)

    def _do_cut(self, fault: Fault) -> None:
        if host := self._victim(fault):
            self._for_a_while(fault, host, host.cut, host.mend)

    def _do_slow(self, fault: Fault) -> None:
        if host := self._victim(fault):
            nic = self._case.nic
            self._for_a_while(fault, host, lambda: host.set_rate(nic / 10), lambda: host.set_rate(nic))

    def _do_corrupt(self, fault: Fault) -> None:
        self._start_liar(fault.kind)

    def _do_silent(self, fault: Fault) -> None:
        self._start_liar(fault.kind)

    def _do_seed_kill(self, fault: Fault) -> None:
        seed = self._cluster.seeds[int(fault.amount * len(self._cluster.seeds))]
        self._for_a_while(fault, seed, seed.kill, lambda: self._start_seed(seed))

    def _do_hub_429(self, fault: Fault) -> None:
        self._hub.fault("cdn", status=429, headers={"Retry-After": "1"}, times=2 + int(6 * fault.amount))
        self._note(fault.kind, "hub")

    def _do_hub_503(self, fault: Fault) -> None:
        self._hub.fault("cdn", status=503, times=2 + int(6 * fault.amount))
        self._note(fault.kind, "hub")

    def _do_hub_cut(self, fault: Fault) -> None:
        self._hub.fault("cdn", cut=int(fault.amount * MIB), times=2 + int(6 * fault.amount))
        self._note(fault.kind, "hub")

    def _do_hub_links(self, fault: Fault) -> None:
        self._hub.expire_links()
        self._note(fault.kind, "hub")

    def _do_full_disk(self, fault: Fault) -> None:
        assert self._full is not None
        host = self._nodes[self._full]
        process, filler = self._process(host), host.directory / "disk" / "filler"
        if process.returncode is not None:
            self._note(fault.kind, "nobody", "it is done")
            return
        self._note(fault.kind, host.name)
        fill(filler)
        until = time.time() + 5 * fault.seconds

        def go_on() -> None:
            if process.returncode is None and time.time() < until:
                self._after(0.5, go_on)
                return
            said = "no word of space" if "space" not in process.tail() else process.tail().strip().splitlines()[-1]
            self._note("room again", host.name, f"exit {process.returncode}: {said[:160]}")
            filler.unlink()
            if process.returncode is not None:
                self._start_node(host)

        go_on()

    def _do_node_flip(self, fault: Fault) -> None:
        for number in fault.order:
            host = self._nodes[number]
            process = self._process(host)
            if process.returncode is not None or host.name in self._busy or number == self._full:
                continue
            held = self._finished_segments(host)
            gap = next((at for at, index in enumerate(held) if index != at), None)
            data = sorted((host.directory / "disk").glob("**/data"))
            # what comes after a gap was not read for the digest yet; what was cannot be found by anybody but its receiver
            if gap is not None and data:
                index = held[-1]
                at = self._segment_start(index) + int(fault.amount * 100_000)
                flip(data[0], at)
                self._note(fault.kind, host.name, f"segment {index}")
                self._after(_JUST_NOW, functools.partial(self._take_back, host, gap, data[0], at))
                return
        self._note(fault.kind, "nobody", "nobody has a segment that was not hashed yet")

    def _take_back(self, host: Host, gap: int, data: Path, at: int) -> None:
        """Where the gap was being closed while the byte changed, it may have been read before: then it is nobody's to find."""
        if gap in self._finished_segments(host):
            with contextlib.suppress(FileNotFoundError):
                flip(data, at)
            self._note("node flip", host.name, "taken back: it was just being read")

    def _finished_segments(self, host: Host) -> list[int]:
        runs = [event for run in self._started[host.name] for event in commands.events(run.out)]
        return sorted({event["index"] for event in runs if event["event"] == "segment.finished"})

    def _do_seed_flip(self, fault: Fault) -> None:
        for seed in self._cluster.seeds:
            for data in (seed.directory / "data").glob("blobs/*/*/data"):
                # the beginning of the file is what is published first
                flip(data, int(fault.amount * 100_000))
                self._note(fault.kind, seed.name, "segment 0")
                return
        self._note(fault.kind, "nobody", "no seed peer has the blob")

    def _segment_start(self, index: int) -> int:
        from dfly.layout import Layout

        return Layout(self._case.size).segment_range(index)[0]

    @contextlib.contextmanager
    def _small_disk(self) -> Iterator[None]:
        """A disk of its own for the node that is to run out of it."""
        if self._full is None:
            yield
            return
        disk = self._nodes[self._full].directory / "disk"
        disk.mkdir(exist_ok=True)
        size = int(self._case.size * 1.2) + 16 * MIB
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
        try:
            yield
        finally:
            self._nodes[self._full].kill()
            subprocess.run(["umount", "-l", str(disk)], check=False)

    # What came of it

    def _seen(self, host: Host) -> dict[str, Any]:
        processes, last = self._started[host.name], self._process(host)
        events = [event for process in processes for event in commands.events(process.out)]
        finished = [event for event in commands.events(last.out) if event["event"] == "task.finished"]
        output = host.directory / "disk" / commands.BLOB
        sources: dict[str, int] = {}
        for event in events:
            if event["event"] == "bytes.arrived":
                sources[event["source"]] = sources.get(event["source"], 0) + event["bytes"]
        return {
            "name": host.name,
            "runs": len(processes),
            "code": last.returncode,
            "done": round(finished[-1]["time"] - self._start, 1) if finished else None,
            "identical": output.exists() and filecmp.cmp(output, self._blob, shallow=False),
            "sources": sources,
            "events": [
                event | {"time": round(event["time"] - self._start, 1)} for event in events if event["event"] in _KEPT
            ],
            "log": "" if last.returncode == 0 else last.tail(),
        }

    def _warnings(self, seed: Host) -> list[str]:
        lines = [line for process in self._started[seed.name] for line in process.log.read_text().splitlines()]
        return [line for line in lines if '"warning"' in line or '"error"' in line or "Traceback" in line]


def fill(path: Path) -> None:
    """Take all the room that there is."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MIB))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def flip(path: Path, at: int) -> None:
    """Change one byte behind everybody's back."""
    with path.open("r+b", buffering=0) as file:
        (byte,) = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte ^ 0xFF]), at)
