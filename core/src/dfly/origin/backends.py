"""One backend instance per (class, options), each with the process's two HTTP clients behind it."""

import threading
from typing import Any, Self

from dfly.backend import Backend, Tools
from dfly.config import Network, Patience
from dfly.errors import DflyError, PluginError
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.origin.ranges import Ranges
from dfly.origin.retry import OnRetry, silently
from dfly.plugins import Plugins


class Backends:
    """Builds backends on demand and closes them. Thread-safe; a context manager.

    `pauses` is what every part that waits for an origin should share; `cancel` ends the waits of API calls, and
    `on_retry(origin, cause, after)` is told of them. `clients` are the HTTP clients that all of its backends share.
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
    ) -> None:
        self._plugins = plugins
        self.pauses = pauses or Pauses(longest=patience.longest_pause)
        self.clients = open_clients(network, patience=patience, pauses=self.pauses, cancel=cancel, on_retry=on_retry)
        self._tools = Tools(
            client=self.clients.api, read=Ranges(self.clients.data, network=network, pauses=self.pauses)
        )
        # a list, because a stranger's options may not be hashable; there are a handful
        self._built: list[tuple[type[Backend], Any, Backend]] = []
        self._lock = threading.Lock()

    def get(self, backend_class: type[Backend], options: Any) -> Backend:
        """The instance for these options. Raises PluginError, naming the distribution, where it cannot be built."""
        with self._lock:
            for built_class, built_options, backend in self._built:
                if built_class is backend_class and built_options == options:
                    return backend
            backend = self._build(backend_class, options)
            self._built.append((backend_class, options, backend))
            return backend

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
            for _, _, backend in built:
                backend.close()
        finally:
            self.clients.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
