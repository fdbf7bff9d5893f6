"""Tells systemd how it goes, in the few lines that need no library: datagrams to the socket in NOTIFY_SOCKET."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

import attrs


@attrs.frozen
class Notify:
    """Harmless where nobody listens. `watchdog` is how often to say that all is well, in seconds; None: not asked for."""

    address: str = ""
    watchdog: float | None = None

    @classmethod
    def of(cls, env: Mapping[str, str] = os.environ) -> "Notify":
        """What the process that started this one asks for."""
        watchdog = None
        meant = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        with suppress(ValueError):
            # half the time that systemd waits, as its manual advises
            watchdog = int(env.get("WATCHDOG_USEC", "")) / 2e6 if meant else None
        return cls(env.get("NOTIFY_SOCKET", ""), watchdog or None)

    def __call__(self, *lines: str) -> None:
        """Say `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`."""
        if not self.address:
            return
        # a leading @ is the abstract namespace
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto("\n".join(lines).encode(), address)
