"""Network namespaces: made by name, entered by thread, and never left behind. Needs root and iproute2.

Every name carries the process that made it (`dfly-<pid>-<token>-<host>`), so that `sweep` can tell what a crashed run
left from what a living one uses. Reading counters and sockets costs no process: a thread moves into the namespace and
reads /proc.
"""

import contextlib
import ctypes
import functools
import os
import re
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: Where iproute2 keeps the names.
NAMES = Path("/run/netns")
_OURS = re.compile(r"dfly-(\d+)-[0-9a-f]+-.+")
_CLONE_NEWNET = 0x40000000
_SECONDS = 60.0  # for one call of ip or tc, which takes milliseconds


class NetnsError(RuntimeError):
    """`ip` or `tc` refused; the message holds what it said."""


def new_prefix() -> str:
    """A prefix for namespace names that no other cluster of this or another process has."""
    return f"dfly-{os.getpid()}-{secrets.token_hex(3)}-"


def batch(tool: str, lines: Iterable[str], *, netns: str | None = None, force: bool = False) -> None:
    """Give `lines` to one `ip` or `tc` process, inside `netns` if given. With `force` it goes on after a refused line.

    Raises `NetnsError` with what the tool said.
    """
    text = "".join(f"{line}\n" for line in lines)
    where = ["-n", netns] if netns else []
    argv = [tool, *where, *(["-force"] if force else []), "-batch", "-"]
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetnsError(f"{' '.join(argv)}: {error}") from error
    if done.returncode and not force:
        raise NetnsError(f"{' '.join(argv)} failed: {done.stderr.strip()}\n{text}")


def call(netns: str, function: Callable[[], T]) -> T:
    """What `function()` returns when run by a thread inside `netns`; sockets and /proc files it opens stay bound to it.

    The caller's own threads do not move. `function` must be bounded in time by itself.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _enter(netns)
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failure.append(error)

    thread = threading.Thread(target=run, name=f"in {netns}", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(netns: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(NAMES / netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(fd, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), netns)
    finally:
        os.close(fd)


def remove(names: Iterable[str]) -> None:
    """Kill what still runs inside these namespaces, then delete them. Names that do not exist are no error."""
    with contextlib.ExitStack() as stack:
        # as long as they are open, no new namespace has the number of one of these
        present = {name: fd for name in names if (fd := _opened(name, stack)) is not None}
        inodes = {os.fstat(fd).st_ino for fd in present.values()}
        if present:
            _kill_inhabitants(inodes)
            batch("ip", [f"netns del {name}" for name in present], force=True)
            # a process that was only just started may have entered meanwhile; without a name nobody does any more
            _kill_inhabitants(inodes)


def _opened(name: str, stack: contextlib.ExitStack) -> int | None:
    try:
        fd = os.open(NAMES / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    stack.callback(os.close, fd)
    return fd


def _kill_inhabitants(inodes: set[int]) -> None:
    for pid in _inhabitants(inodes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _inhabitants(inodes: set[int]) -> list[int]:
    """Processes inside the namespaces. One pass over /proc, where `ip netns pids` would make one for each name."""
    found = []
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdecimal()):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/net").st_ino in inodes and pid != os.getpid():
                found.append(pid)
    return found


def sweep() -> list[str]:
    """Remove the namespaces, and the processes in them, of runs whose own process is dead; return their names."""
    left = [name for name in _listed() if (ours := _OURS.fullmatch(name)) and not _alive(int(ours.group(1)))]
    remove(left)
    return left


def _listed() -> list[str]:
    try:
        return sorted(os.listdir(NAMES))
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@functools.cache
def requires_namespaces() -> str | None:
    """Why no cluster can be built here, or None where it can: tried once by building a tiny one."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (Debian: apt-get install iproute2)"
    name = new_prefix() + "probe"
    try:
        batch("ip", [f"netns add {name}"])
        batch("ip", ["link add name one type veth peer name two", "link add name three type bridge"], netns=name)
        batch("tc", ["qdisc add dev one root tbf rate 1mbit burst 32kb latency 30ms"], netns=name)
        call(name, lambda: None)
    except (NetnsError, OSError) as error:
        return f"this machine cannot shape links in network namespaces: {error}"
    finally:
        remove([name])
    return None
