"""One backend instance per (class, options), each with the process's two HTTP clients behind it."""

import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Self

import attrs

from dfly.backend import Backend, Tools
from dfly.config import Network, Patience
from dfly.errors import DflyError, PluginError
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.origin.ranges import Ranges
from dfly.origin.retry import OnRetry, silently
from dfly.origin.timing import OnAnswer
from dfly.origin.upstream import Upstreams
from dfly.plugins import Plugins


@attrs.define(eq=False)
class _Built:
    backend_class: type[Backend]
    options: Any
    backend: Backend
    used: float


class Backends:
    """Builds backends on demand and closes them. Thread-safe; a context manager.

    `pauses` is what every part that waits for an origin should share; `cancel` ends the waits of API calls, and
    `on_retry(origin, cause, after)` is told of them; `on_answer` is as in `open_clients`. `clients` are the HTTP clients that
    all of its backends share.
    """

    def __init__(
        self,
        plugins: Plugins,
        *,
        network: Network,
        patience: Patience,
        pauses: Pauses | None = None,
        cancel: threading.Event | None = None,
        on_retry: OnRetry = silently,
        on_answer: OnAnswer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plugins = plugins
        self.pauses = pauses or Pauses(longest=patience.longest_pause)
        self.clients = open_clients(
            network, patience=patience, pauses=self.pauses, cancel=cancel, on_retry=on_retry, on_answer=on_answer
        )
        self._tools = Tools(
            client=self.clients.api, read=Ranges(self.clients.data, network=network, pauses=self.pauses)
        )
        self._upstreams = Upstreams(self.clients.data)
        self._clock = clock
        # a list, because a stranger's options may not be hashable; there are a handful
        self._built: list[_Built] = []
        self._lock = threading.Lock()

    def settled(self, backend_class: type[Backend], options: Any) -> Any:
        """`options` as they mean the same on every machine: the hub itself where they name a node daemon's facade of it."""
        return self._upstreams.settled(backend_class, options)

    def get(self, backend_class: type[Backend], options: Any) -> Backend:
        """The instance for these options. Raises PluginError, naming the distribution, where it cannot be built."""
        with self._lock:
            for built in self._built:
                if built.backend_class is backend_class and built.options == options:
                    built.used = self._clock()
                    return built.backend
            backend = self._build(backend_class, options)
            self._built.append(_Built(backend_class, options, backend, self._clock()))
            return backend

    def evict(self, *, keep: int, idle: float, but: Collection[Backend]) -> None:
        """Close instances beyond `keep` that nobody has asked for in `idle` seconds and that are not in `but`, oldest first.

        For a process that lives long: whoever keeps one for longer than `idle` must name it in `but`.
        """
        kept, before = set(map(id, but)), self._clock() - idle
        with self._lock:
            oldest = sorted(self._built, key=lambda built: built.used)[: max(0, len(self._built) - keep)]
            idlers = [built for built in oldest if built.used <= before and id(built.backend) not in kept]
            self._built = [built for built in self._built if built not in idlers]
        for built in idlers:
            built.backend.close()

    def _build(self, backend_class: type[Backend], options: Any) -> Backend:
        try:
            return backend_class(options, self._tools)
        except DflyError:
            raise
        except Exception as error:
            scheme = backend_class.schemes[0]
            claim = next((found for found in self._plugins.found() if found.scheme == scheme), None)
            name = claim.distribution if claim else backend_class.__module__
            raise PluginError(
                f"the plugin {name} for {scheme}:// cannot be started: {type(error).__name__}: {error}",
                hint=f"pip install --upgrade {name}, or report this to its author",
            ) from error

    def close(self) -> None:
        """Close every backend, then the connections."""
        with self._lock:
            built, self._built = self._built, []
        try:
            for each in built:
                each.backend.close()
        finally:
            self.clients.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
