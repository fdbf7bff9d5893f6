"""A node's side of the control plane: ask a seed peer, listen to its event stream, report.

The client knows HTTP and messages, not what they are for. It never retries by itself: the task that uses it knows whether to
wait, to take the next seed peer, or to go back to the source.
"""

import contextlib
import hashlib
import ipaddress
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx

from dfly import tracing, wire
from dfly.backend import Secret
from dfly.errors import DflyError, SwarmError, UsageError
from dfly.node.revival import revive
from dfly.node.travelling import Options, option_headers
from dfly.values import bare_url
from dfly.wire.errands import ErrandReport, decode_errand


@attrs.frozen(kw_only=True)
class Whereabouts:
    """How other nodes reach this one: its id, the port its session listens on, the port where it would stand in for a
    seed peer (0: it would not), addresses to advertise besides the one that the seed peer sees, and `location`
    ("zone/rack") for the order of the ring.
    """

    node: str
    port: int
    control: int = 0
    advertise: tuple[str, ...] = ()
    location: str = ""


@attrs.define(kw_only=True)
class SeedPeer:
    """One seed peer, as a node speaks to it. `url` is its base URL, without a trailing slash.

    The cluster token, and the options named in `secret`, go out over TLS or to this machine only, unless `insecure`.
    All methods raise UsageError where that would be broken.
    """

    url: str
    client: httpx.Client
    cluster_token: Secret | None = None
    secret: frozenset[str] = frozenset()
    insecure: bool = False
    #: What makes the seed peer's part of a trace a part of this node's.
    traceparent: str = ""

    def resolve(self, ask: wire.Ask, options: Options, *, patience: float = 300.0) -> wire.Resolved:
        """The snapshot and task for `ask`, within `patience` seconds: a large repository's first listing takes a hub many pages.

        Raises what the seed peer's backend raised (NotFound, AccessDenied, …), SwarmError where it cannot be reached.
        """
        if not self.secret.isdisjoint(options):
            self._require_private()
        headers = [*self._headers().items(), *option_headers(options)]
        reply = self._send(
            "POST",
            "/v1/snapshots",
            content=_carried(ask),
            headers=headers,
            timeout=httpx.Timeout(patience, connect=10.0),
            largest=wire.LONGEST_SNAPSHOT,
        )
        return wire.Resolved.decode(reply)

    def events(
        self, task: str, me: Whereabouts, *, after: str = "", ticket: str = ""
    ) -> "AbstractContextManager[Events]":
        """The event stream of `task`, from `after` ("epoch.seq") on; a private one opens to its `ticket`."""
        query = {
            "after": after,
            "node": me.node,
            "port": str(me.port),
            "control": str(me.control),
            "advertise": ",".join(me.advertise),
            "location": me.location,
        }
        headers = {wire.TICKET_HEADER: ticket} if ticket else {}
        return self._listening(f"/v1/snapshots/{task}/events", query, wire.decode_message, headers=headers)

    def errands(self, node: str, location: str) -> "AbstractContextManager[Events]":
        """Stand by at this seed peer: the errands that it sends `node` on."""
        return self._listening("/v1/errands", {"node": node, "location": location}, decode_errand)

    def report_errand(self, errand: str, report: ErrandReport) -> None:
        """Tell how far an errand is. Raises NotFound where nobody waits for it any more."""
        self._send("POST", f"/v1/errands/{errand}/report", content=report.encode(), timeout=10.0)

    @contextmanager
    def _listening(
        self,
        path: str,
        query: Mapping[str, str],
        decode: Callable[[bytes], wire.Message | None],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> "Iterator[Events]":
        with self._mapped():
            request = self.client.build_request(
                "GET",
                self.url + path,
                params=query,
                headers=self._headers() | dict(headers or {}),
                # heartbeats come every few seconds: silence means the seed peer is gone, or the cable was
                timeout=httpx.Timeout(10.0, read=12.0),
            )
            response = self.client.send(request, stream=True)
        try:
            if response.status_code != 200:
                with self._mapped():
                    raise self._error(response, _beginning(response))
            yield Events(messages=self._lines(response, decode), cut=lambda: _cut(response))
        finally:
            response.close()

    def report(self, task: str, report: wire.Report) -> wire.Advice:
        """Tell the seed peer how it goes; the answer may name further peers to try."""
        reply = self._send("POST", f"/v1/snapshots/{task}/report", content=report.encode(), timeout=10.0)
        return wire.Advice.decode(reply)

    def have(self, task: str, have: wire.Have) -> None:
        """Carry over what an earlier seed peer published and this node holds."""
        self._send("POST", f"/v1/snapshots/{task}/have", content=have.encode(), timeout=30.0)

    def plugins(self) -> Any:
        """What the seed peer tells of its plugins: parsed, and not looked at (`dfly.plugins.hearsay`)."""
        try:
            return json.loads(self._send("GET", "/v1/plugins", timeout=10.0))
        except (ValueError, RecursionError) as error:
            raise SwarmError(f"the seed peer {bare_url(self.url)} tells of its plugins in no JSON") from error

    @property
    def private(self) -> bool:
        """Whether nobody on the way can listen or put in a word."""
        return is_private(self.url)

    def hashes(self, task: str, blob: str) -> bytes:
        """20 bytes a piece, for a blob that is complete; then 16 bytes a segment, its MAC, where the cluster has a secret."""
        return self._send("GET", f"/v1/snapshots/{task}/hashes/{blob}", timeout=60.0)

    def web_seed(self, grant: str, blob: str) -> str:
        """The URL that libtorrent fetches published bytes of `blob` from."""
        return f"{self.url}/v1/blobs/{grant}/{blob}"

    def _lines(
        self, response: httpx.Response, decode: Callable[[bytes], wire.Message | None]
    ) -> Iterator[wire.Message]:
        rest = b""
        with self._mapped():
            for chunk in response.iter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > wire.LONGEST_LINE:
                    raise wire.WireError("an endless line")
                for line in lines:
                    message = decode(line)
                    if message is not None:
                        yield message

    def _send(
        self, method: str, path: str, *, timeout: float | httpx.Timeout, largest: int = wire.LONGEST_BODY, **more: Any
    ) -> bytes:
        headers = more.pop("headers", None) or self._headers()
        with (
            self._mapped(),
            self.client.stream(method, self.url + path, headers=headers, timeout=timeout, **more) as response,
        ):
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > largest:
                    raise wire.WireError(f"more than {largest} bytes")
        if response.status_code >= 400:
            raise self._error(response, bytes(body))
        return bytes(body)

    def _headers(self) -> dict[str, str]:
        headers = {tracing.HEADER: self.traceparent} if self.traceparent else {}
        if self.cluster_token is None:
            return headers
        self._require_private()
        return headers | {"Authorization": f"Bearer {self.cluster_token.reveal()}"}

    def _require_private(self) -> None:
        if not self.private and not self.insecure:
            raise UsageError(
                f"the seed peer {bare_url(self.url)} is reached over plain HTTP: tokens would be readable on the way",
                hint="use https:// (and --ca-file), or --insecure if the network is trusted",
            )

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SwarmError(
                f"the seed peer {bare_url(self.url)} cannot be reached: {str(error) or type(error).__name__}",
                hint="is it running, and is --seed-peer (DFLY_SEED_PEERS) right?",
            ) from error
        except RuntimeError as error:
            # httpx has no error of its own for a thread that asks once more while the process takes its clients down
            if not self.client.is_closed:
                raise
            raise SwarmError("this process is stopping") from error

    def _error(self, response: httpx.Response, body: bytes) -> DflyError:
        try:
            said = json.loads(body)
            return revive(str(said["error"]), str(said["message"]), str(said.get("hint", "")), said)
        except (ValueError, KeyError, TypeError, RecursionError):
            return SwarmError(f"the seed peer {bare_url(self.url)} answered {response.status_code}")


@attrs.frozen(kw_only=True)
class Events:
    """An open event stream: `messages` until the connection ends, which `cut` brings about from any thread."""

    messages: Iterator[wire.Message]
    cut: Callable[[], None]


def _cut(response: httpx.Response) -> None:
    # not close: a descriptor that is closed under a reader may be another file by the time it reads on
    with contextlib.suppress(OSError, AttributeError, KeyError):
        response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def in_order(urls: Sequence[str], repository: str) -> list[str]:
    """The seed peers in the order in which this repository's nodes use them: the same on every node."""
    return sorted(urls, key=lambda url: hashlib.sha256(f"{url}\0{repository}".encode()).digest())


def _carried(ask: wire.Ask) -> bytes:
    """The body; without what is known where that is more than a seed peer takes: then it asks the hub again."""
    body = ask.encode()
    return body if len(body) <= wire.LONGEST_CARRIED else attrs.evolve(ask, known=None).encode()


def nobody_listens(error: SwarmError) -> bool:
    """Whether the connection was refused: the process is gone. A packet that was lost says nothing of the kind."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ConnectionRefusedError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _beginning(response: httpx.Response) -> bytes:
    """As much of a body as an error message can need."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > wire.LONGEST_LINE:
            break
    return bytes(body)


def is_private(url: str) -> bool:
    """Whether nobody on the way to `url` can listen or put in a word."""
    parts = urlsplit(url)
    return parts.scheme == "https" or _is_here(parts.hostname or "")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
