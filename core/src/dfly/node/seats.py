"""A seat at a seed peer: with the first that answers, in the order in which all nodes ask for one repository.

It knows nothing of libtorrent: whoever only looks, or reads one file as a guest, needs none.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedEnough
from contextlib import suppress
from functools import partial
from typing import TypeVar

import attrs
import httpx

from dfly import tracing
from dfly.backend import Secret
from dfly.config import Joining
from dfly.errors import Cancelled, SwarmError
from dfly.node.control import SeedPeer, in_order
from dfly.node.succession import Seat
from dfly.node.travelling import Options
from dfly.wire import Ask

T = TypeVar("T")


def candidates(
    ask: Ask, joining: Joining, *, client: httpx.Client, secret: frozenset[str] = frozenset()
) -> tuple[SeedPeer, ...]:
    """All seed peers that `joining` names, in the order for `ask`. Options named in `secret` go to none over plain HTTP."""
    token = Secret(joining.cluster_token) if joining.cluster_token else None
    return tuple(
        SeedPeer(
            url=url,
            client=client,
            cluster_token=token,
            secret=secret,
            insecure=joining.insecure,
            traceparent=tracing.current(),
        )
        for url in (each.rstrip("/") for each in in_order(joining.seed_peers, ask.url.partition("@")[0]))
    )


def take_seat(ask: Ask, options: Options, peers: Sequence[SeedPeer], *, stop: threading.Event) -> Seat:
    """The seat for `ask` at the first of `peers` that answers.

    Raises what its backend raised; SwarmError where none answers; Cancelled once `stop` is set.
    """
    last: SwarmError | None = None
    for number, peer in enumerate(peers):
        wanted = attrs.evolve(ask, fallback=number > 0)
        try:
            return Seat(seed_peer=peer, resolved=unless_stopped(partial(peer.resolve, wanted, options), stop))
        except SwarmError as error:
            last = error
    assert last is not None, "asked without seed peers"
    raise last


def unless_stopped(job: Callable[[], T], stop: threading.Event) -> T:
    """What `job` returns or raises; Cancelled as soon as `stop` is set, whatever becomes of the job."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(job())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            future.set_exception(error)

    threading.Thread(target=run, name="dfly-join", daemon=True).start()
    while not stop.is_set():
        with suppress(WaitedEnough):
            return future.result(timeout=0.1)
    raise Cancelled
