"""One run of a swarm case: build the cluster, start everything, watch, and return what was seen as plain JSON.

Nothing is judged here; `bench.report` computes every figure from the raw result, so an old run can be read anew.

The clock starts when the hub does, or the seed peers where they have everything: they are held (SIGSTOP) until all nodes that
start together have a connection to a seed peer, or to the hub where there is none. Otherwise the time that N interpreters need to
start on few CPUs would be counted as the swarm's.
"""

import json
import shutil
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from bench import commands, machine, origins
from bench.baselines import all_pairs_tcp
from bench.blobs import identical, same_tree, write_blob
from bench.case import Case
from dfly.testing.cluster import Cluster, Host
from dfly.testing.process import Process
from dfly.testing.traffic import LinkUse

ALIGN_SECONDS = 60.0
_KEPT = ("warning", "stalled", "retrying", "error")


class SwarmRun:
    """A case on a cluster of its own. Files go below `root`, which needs room for the blob on every host.

    With `threads` the CPU of each thread is read, too, which costs some itself.
    """

    def __init__(self, case: Case, *, root: Path, baseline_seconds: float, threads: bool = False) -> None:
        self._case = case
        self._threads = machine.ThreadMeter(self._pids) if threads else None
        self._baseline_seconds = baseline_seconds
        self._cluster = Cluster(
            case.nodes, root=root, nic=case.nic, seeds=case.seeds, racks=case.rack_sizes, thin=case.thin
        )
        self._blob = root / "repository" / commands.BLOB
        self._whole = case.source != "blob"
        self._nodes: dict[str, Process] = {}

    def run(self) -> dict[str, Any]:
        """The raw result. Raises `RuntimeError` where the hub or a seed peer does not start."""
        self._lay_out()
        case, cluster = self._case, self._cluster
        with cluster:
            for index, host in enumerate(cluster.nodes):
                if case.role(index) == "slow":
                    host.set_rate(case.nic / case.slow_factor)
            baseline = self._baseline()
            endpoint = self._start_hub()
            self._start_seeds(endpoint)
            if case.warm:
                self._warm_up(endpoint)
            with machine.CpuMeter() as cpu, cluster.link_use(0.25) as links, self._threads or nullcontext():
                start, aligned = self._start_nodes(endpoint)
                self._watch(endpoint, deadline=start + case.patience)
            stats = json.loads(cluster.hub.get(f"{endpoint}/_stats"))
            for host in cluster.hosts:
                host.kill()
            return {
                "kind": "swarm",
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine.facts(),
                "case": case.as_dict(),
                "aligned": aligned,
                "hub": {"content_bytes": commands.content_bytes(stats), "stats": stats},
                "seeds": [self._host(seed, seed.processes[0]) for seed in cluster.seeds],
                "nodes": [self._node(index, start) for index in range(case.nodes)],
                "links": _series(links, start),
                "cpu": [[round(r.time - start, 3), round(r.busy, 2), round(r.total, 2)] for r in cpu.readings],
                "baseline": baseline,
            }

    def _lay_out(self) -> None:
        """Put the hub's files there; what is not a blob says itself how large it is."""
        folder = self._blob.parent
        if self._case.source == "model":
            shutil.copytree(origins.real_model(Path(__file__).with_name(".cache")), folder)
        elif self._case.source == "small":
            origins.small_files(folder, 2000)
        else:
            write_blob(self._blob, self._case.size)
        if self._whole:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            self._case = attrs.evolve(self._case, size=size)

    def _baseline(self) -> dict[str, Any]:
        if not self._baseline_seconds:
            return {}
        nodes = [node for index, node in enumerate(self._cluster.nodes) if self._case.role(index) != "slow"]
        return all_pairs_tcp(self._cluster, nodes, nic=self._case.nic, seconds=self._baseline_seconds)

    def _start_hub(self) -> str:
        hub = self._cluster.hub
        process = hub.popen(commands.hub(self._blob.parent, host=hub.address, rate=self._case.origin))
        hub.wait_until_listening(commands.HUB_PORT, process=process, timeout=120)  # it hashes the blob first
        return f"http://{hub.address}:{commands.HUB_PORT}"

    def _start_seeds(self, endpoint: str) -> None:
        for seed in self._cluster.seeds:
            argv = commands.seed_peer(seed.address, seed.directory / "data")
            # several share a secret, by which one believes what another has published
            secret = {"DFLY_CLUSTER_SECRET": "of the benchmark"} if self._case.seeds > 1 else {}
            seed.popen(argv, env=commands.hf_environment(endpoint, seed.directory) | secret)
        for seed in self._cluster.seeds:
            seed.wait_until_listening(commands.SEED_PORT, process=seed.processes[-1])

    def _warm_up(self, endpoint: str) -> None:
        """A node on the seed peer's own machine has it fetch everything, so that its NIC sees what the hub sends and no more."""
        for seed in self._cluster.seeds:
            argv = commands.node(seed.directory / "first", [seed.address], whole=self._whole)
            first = seed.popen(argv, env=commands.hf_environment(endpoint, seed.directory))
            if first.wait(self._case.patience + 4 * self._case.size / self._case.origin):
                raise RuntimeError(f"the seed peer {seed.address} does not get warm:\n{first.tail()}")

    def _start_nodes(self, endpoint: str) -> tuple[float, bool]:
        """The Unix time at which the source was let go, and whether all nodes were waiting for it by then."""
        cluster, case = self._cluster, self._case
        together = [host for index, host in enumerate(cluster.nodes) if case.role(index) != "late"]
        sources = cluster.seeds if case.warm else [cluster.hub]
        for source in sources:
            source.pause()
        for host in together:
            self._start_node(host, endpoint)
        deadline = time.monotonic() + ALIGN_SECONDS
        asked = [(seed, commands.SEED_PORT) for seed in cluster.seeds] or [(cluster.hub, commands.HUB_PORT)]
        aligned = False
        while not aligned and time.monotonic() < deadline:
            time.sleep(0.05)
            waiting = set().union(*(host.clients(port) for host, port in asked))
            aligned = len(waiting) >= len(together)
            if any(self._nodes[host.name].returncode is not None for host in together):
                break
        start = time.time()
        for source in sources:
            source.resume()
        return start, aligned

    def _start_node(self, host: Host, endpoint: str) -> None:
        self._nodes[host.name] = host.popen(
            commands.node(
                host.directory / ("repository" if self._whole else commands.BLOB),
                [seed.address for seed in self._cluster.seeds],
                whole=self._whole,
                location=f"rack{host.rack}" if self._case.racks > 1 else "",
            ),
            env=commands.hf_environment(endpoint, host.directory),
            out=host.directory / "events",
        )

    def _watch(self, endpoint: str, *, deadline: float) -> None:
        """Wait for all nodes; let the late ones join and kill the seed peer when it is time."""
        case, cluster = self._case, self._cluster
        late = [host for index, host in enumerate(cluster.nodes) if case.role(index) == "late"]
        doomed = case.kill_seed_at
        while late or any(process.returncode is None for process in self._nodes.values()):
            if time.time() > deadline:
                return
            share = cluster.hub.bytes_out() / case.size
            if late and (share >= case.late_at or self._all_over()):
                for host in late:
                    self._start_node(host, endpoint)
                late = []
            if doomed is not None and share >= doomed:
                cluster.seeds[0].kill()
                doomed = None
            time.sleep(0.05)

    def _pids(self) -> list[int]:
        seeds = [process for seed in self._cluster.seeds for process in seed.processes]
        return [process.pid for process in (*seeds, *self._nodes.values()) if process.returncode is None]

    def _all_over(self) -> bool:
        return all(process.returncode is not None for process in self._nodes.values())

    def _host(self, host: Host, process: Process | None) -> dict[str, Any]:
        traffic = host.traffic()
        seen: dict[str, Any] = {"name": host.name, "rack": host.rack, "into": traffic.into, "out": traffic.out}
        if process is not None:
            process.wait(60)
            seen |= {"code": process.returncode, "cpu": process.usage.cpu, "peak_memory": process.usage.peak_memory}
            if self._threads is not None:
                seen["threads"] = self._threads.of(process.pid)
        return seen

    def _node(self, index: int, start: float) -> dict[str, Any]:
        host = self._cluster.nodes[index]
        process = self._nodes.get(host.name)
        seen = self._host(host, process) | {"role": self._case.role(index), "segments": [], "events": []}
        if process is None:
            return seen | {"done": None, "sources": {}, "identical": False, "log": "never started"}
        done, sources = None, {}
        for event in commands.events(process.out):
            at = round(float(event.get("time", 0)) - start, 3)
            if event["event"] == "segment.finished":
                seen["segments"].append([at, event["index"]])
            elif event["event"] == "task.finished":
                done, sources = at, event["sources"]
            elif event["event"] in _KEPT:
                seen["events"].append(event | {"time": at})
        return seen | {
            "started": round(process.started - start, 3),
            "done": done,
            "sources": sources,
            "identical": same_tree(host.directory / "repository", self._blob.parent)
            if self._whole
            else identical(host.directory / commands.BLOB, self._blob),
            "log": "" if process.returncode == 0 else process.tail(),
        }


def _series(use: LinkUse, start: float) -> dict[str, Any]:
    """Cumulative bytes of each link at each sample."""
    names = list(use.samples[0].links)
    return {
        "time": [round(sample.time - start, 3) for sample in use.samples],
        "into": {name: [sample.links[name].into for sample in use.samples] for name in names},
        "out": {name: [sample.links[name].out for sample in use.samples] for name in names},
    }
