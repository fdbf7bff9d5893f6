"""Opens a libtorrent session that really listens."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

import libtorrent as lt

from dfly.errors import SwarmError
from dfly.swarm.alerts import ALERT_MASK
from dfly.swarm.events import ListenFailed, Listening, SwarmEvent
from dfly.swarm.listening import Ports, choose_ports
from dfly.swarm.settings import SwarmSettings, session_settings

_VARIABLE = "SSL_CERT_FILE"
#: The process has one environment.
_ENVIRONMENT = threading.Lock()


def listening_session(settings: SwarmSettings) -> tuple[lt.session, Ports, list[SwarmEvent]]:
    """A session that listens, and what it said about that. Raises SwarmError where it cannot."""
    attempts = 1 if settings.listen_port else 10  # a free port can be lost to another process before it is taken
    for _ in range(attempts):
        ports = choose_ports(settings.listen_port, settings.interfaces)
        pack = session_settings(settings, listen_interfaces=ports.listen_interfaces(settings.interfaces))
        with _trusting(settings.authorities):
            session = lt.session({**pack, "alert_mask": ALERT_MASK})  # type: ignore[call-overload] # the pack is a plain dict
            session.listen_port()  # waits until the session has tried all its addresses
        said = map(_about_listening, session.pop_alerts())
        heard = list(dict.fromkeys(event for event in said if event is not None))  # once for TCP, once for UDP
        opened = {event.port for event in heard if isinstance(event, Listening)}
        if {ports.announced, ports.dialled} <= opened:
            return session, ports, [event for event in heard if event.port == ports.dialled]
    reasons = "; ".join(event.reason for event in heard if isinstance(event, ListenFailed))
    where = ", ".join(settings.interfaces) or "any address"
    raise SwarmError(
        f"cannot listen for peers on {where}, port {ports.dialled}: {reasons or 'no such address here'}",
        hint="choose another port or interface for peers, or let dfly choose a free port",
    )


@contextlib.contextmanager
def _trusting(authorities: str) -> Iterator[None]:
    """Have a session that is made meanwhile verify https web seeds with these: it has no setting for that.

    Its OpenSSL reads the variable once, when the session is made, and was built for another machine's folders.
    """
    if not authorities:
        yield
        return
    with _ENVIRONMENT, tempfile.NamedTemporaryFile("w", prefix="dfly-", suffix=".pem") as file:
        file.write(authorities)
        file.flush()
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = file.name
        try:
            yield
        finally:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before


def limit_local_peers(session: lt.session) -> None:
    """Put every peer into the class that limits apply to: peers on a LAN or loopback have one of their own without any."""
    everybody = lt.ip_filter()
    for first, last in (("0.0.0.0", "255.255.255.255"), ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")):  # noqa: S104
        everybody.add_rule(first, last, 1 << session.global_peer_class_id)
    session.set_peer_class_filter(everybody)


def _about_listening(alert: object) -> Listening | ListenFailed | None:
    if isinstance(alert, lt.listen_succeeded_alert):
        return Listening(alert.address, alert.port)
    if isinstance(alert, lt.listen_failed_alert):
        return ListenFailed(alert.address, alert.port, alert.error.message())
    return None
