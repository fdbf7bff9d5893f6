"""A cluster in one machine: real processes in network namespaces, joined by switches over links of a chosen speed.

    with Cluster(4, nic=12.5e6, root=tmp_path) as cluster:
        hub = cluster.hub.popen([sys.executable, "-m", "dfly_gopher.testing", "--host", cluster.hub.address, ...])
        cluster.hub.wait_until_listening(8000)
        nodes = [node.popen(["dfget", ...]) for node in cluster.nodes]
        cluster.nodes[2].cut()

The switches live in a namespace of their own and the machine has no leg in the network: there is no way out of it, and
two clusters may use the same addresses without ever meeting. Links are shaped with `tc tbf` at both ends, because
libtorrent's own limiter wastes what it is given. A rack is one bridge; all others hang on the first by a thin link.
Leaving the context, an exception, Ctrl-C and exit remove everything; what a `kill -9` leaves, the next cluster sweeps.
"""

import atexit
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dfly.testing import netns
from dfly.testing.host import Host, shape
from dfly.testing.process import Usage
from dfly.testing.traffic import Counters, LinkUse, Traffic

__all__ = ["Cluster", "Host", "requires_namespaces"]

requires_namespaces = netns.requires_namespaces


class Cluster:
    """A hub, seed peers and nodes on one flat network; a context manager.

    `nic` is the rate of seed peers and nodes in bytes/s, each way (None: as fast as it goes); the hub is never shaped.
    `racks` is the number of nodes in each rack, hub and seed peers standing in the first; `thin` is the rate of the
    link from the first to each other rack. Logs and working directories go below `root`.
    """

    def __init__(
        self,
        nodes: int,
        *,
        root: Path,
        nic: float | None = None,
        seeds: int = 1,
        racks: Sequence[int] | None = None,
        thin: float | None = None,
    ) -> None:
        racks = [nodes] if racks is None else racks
        if sum(racks) != nodes:
            raise ValueError(f"racks {list(racks)} do not add up to {nodes} nodes")
        self.nic = nic
        self.thin = thin
        self.root = root
        self.racks = tuple(racks)
        self._prefix = netns.new_prefix()
        self._switch = self._prefix + "switch"
        self._counters: Counters | None = None
        rack_of = [rack for rack, count in enumerate(racks) for _ in range(count)]
        self.hub = self._host("hub", "10.77.0.1", 0)
        self.seeds = tuple(self._host(f"seed{i}", f"10.77.1.{i + 1}", 0) for i in range(seeds))
        self.nodes = tuple(
            self._host(f"node{i}", f"10.77.{2 + i // 250}.{1 + i % 250}", rack) for i, rack in enumerate(rack_of)
        )
        self.hosts = (self.hub, *self.seeds, *self.nodes)

    def _host(self, name: str, address: str, rack: int) -> Host:
        return Host(name=name, address=address, rack=rack, prefix=self._prefix, directory=self.root / name)

    def __enter__(self) -> Self:
        if reason := netns.requires_namespaces():
            raise RuntimeError(reason)
        netns.sweep()
        atexit.register(self.close)
        try:
            for host in self.hosts:
                host.directory.mkdir(parents=True, exist_ok=True)
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _build(self) -> None:
        netns.batch("ip", [f"netns add {name}" for name in self._names()])
        # No IPv6 link-local addresses, no spanning tree, no multicast: only what the processes send is counted.
        wires = []
        for rack in range(len(self.racks)):
            wires.append(f"link add name bridge{rack} up type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
            if rack:
                wires.append(f"link add name rack{rack} type veth peer name uplink{rack}")
                wires.append(f"link set dev rack{rack} master bridge0 addrgenmode none up")
                wires.append(f"link set dev uplink{rack} master bridge{rack} addrgenmode none up")
        for host in self.hosts:
            wires.append(f"link add name {host.name} type veth peer name eth0 netns {host.netns}")
            wires.append(f"link set dev {host.name} master bridge{host.rack} addrgenmode none up")
        netns.batch("ip", wires, netns=self._switch)
        for host in self.hosts:
            up = ["link set dev lo up", "link set dev eth0 addrgenmode none up"]
            netns.batch("ip", [*up, f"address add {host.address}/16 dev eth0"], netns=host.netns)
        ports = [host.name for host in self.hosts] + [f"rack{rack}" for rack in range(1, len(self.racks))]
        self._counters = Counters(self._switch, ports)
        for host in self.hosts:
            host.connect(self._counters)
            host.set_rate(None if host is self.hub else self.nic)
        if self.thin is not None:
            ends = [f"{end}{rack}" for rack in range(1, len(self.racks)) for end in ("rack", "uplink")]
            netns.batch("tc", [shape(end, self.thin) for end in ends], netns=self._switch)

    def link_use(self, interval: float = 0.5) -> LinkUse:
        """A sampler of all links. The thin ones are named `rack1`, `rack2`, …; `into` is what enters that rack."""
        assert self._counters is not None
        return LinkUse(self._counters, interval)

    def traffic(self) -> dict[str, Traffic]:
        """Bytes in and out of every host and thin link so far."""
        assert self._counters is not None
        return self._counters.read().links

    def usage(self) -> Usage:
        """What all processes together have used so far; `peak_memory` is the sum of their peaks."""
        used = [process.usage for host in self.hosts for process in host.processes]
        return Usage(
            user=sum(each.user for each in used),
            system=sum(each.system for each in used),
            peak_memory=sum(each.peak_memory for each in used),
        )

    def close(self) -> None:
        """Kill every process and remove every namespace; files stay. May be called twice."""
        for host in self.hosts:
            host.kill()
        if self._counters is not None:
            self._counters.close()
        netns.remove(self._names())
        for process in [each for host in self.hosts for each in host.processes]:
            process.wait(60)
        atexit.unregister(self.close)

    def remove_files(self) -> None:
        """Delete all that the hosts have written."""
        for host in self.hosts:
            shutil.rmtree(host.directory, ignore_errors=True)

    def _names(self) -> list[str]:
        return [self._switch, *(host.netns for host in self.hosts)]
