"""Which ports to listen on, and how many files may be open.

A session listens on two ports. When two neighbours dial each other at the same moment, libtorrent compares the port that
the other end announces with the port it dialled itself, takes a match for a second link to the same peer, and closes
it. Both ends do so, both links die, and the next try is a second away. libtorrent announces the first listening port;
peers are told the second, so the ports never match and the peer ids decide which of the two links stays.
"""

import contextlib
import ipaddress
import resource
import socket

import attrs


@attrs.frozen
class Ports:
    """`announced` is what libtorrent tells in its handshake, `dialled` what the scheduler and peers are to be told."""

    announced: int
    dialled: int

    def listen_interfaces(self, interfaces: tuple[str, ...]) -> str:
        """Libtorrent's `listen_interfaces` for these addresses (none: all). The announced port must come first."""
        hosts = [_bracketed(host) for host in interfaces or _everywhere()]
        return ",".join(f"{host}:{port}" for port in (self.announced, self.dialled) for host in hosts)


def choose_ports(listen_port: int, interfaces: tuple[str, ...]) -> Ports:
    """Two free ports, `dialled` being `listen_port` unless that is 0.

    Left to itself (port 0) libtorrent takes another port for each address of the machine.
    Another process may take the port before the session does; then listening fails and the caller chooses again.
    """
    with contextlib.ExitStack() as held:
        announced = held.enter_context(_bound(interfaces)).getsockname()[1]
        dialled = listen_port or held.enter_context(_bound(interfaces)).getsockname()[1]
    return Ports(announced, dialled)


def raise_file_limit(wanted: int = 65_536) -> int:
    """Raise the soft limit of open files as far as `wanted` and the hard limit allow; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    best = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= best:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
    return best


def _bound(interfaces: tuple[str, ...]) -> socket.socket:
    """A socket on a free port of the first interface; of any address where that is given by its device's name."""
    host = "0.0.0.0"  # noqa: S104 - the probe never listens
    with contextlib.suppress(ValueError):
        host = str(ipaddress.ip_address(interfaces[0] if interfaces else host))
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    probe.bind((host, 0))
    return probe


def _everywhere() -> tuple[str, ...]:
    return ("0.0.0.0", "::") if socket.has_ipv6 else ("0.0.0.0",)  # noqa: S104 - the filter decides who may come in


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
