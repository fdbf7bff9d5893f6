"""A task's ring for this daemon: how it sits down at a seed peer, whether somebody asks or a record is opened again."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from dfly.backend import Backend
from dfly.config import Fetch, Joining, Network, Patience
from dfly.node.travelling import secret_options, travelling
from dfly.origin.backends import Backends
from dfly.plugins import Plugins
from dfly.values import Snapshot
from dfly.wire import Ask

if TYPE_CHECKING:
    import httpx

    from dfly.node.joining import Joined


@attrs.frozen(kw_only=True)
class Seating:
    """At the seed peers that `joining` names, asked by `client`; the rest is for whoever has to stand in for one."""

    joining: Joining
    client: "httpx.Client"
    backends: Backends
    plugins: Plugins
    network: Network
    settings: Fetch
    patience: Patience

    def at_ring(
        self,
        ask: Ask,
        backend_class: type[Backend],
        options: Any,
        *,
        backend: Callable[[], Backend],
        resolve: Callable[[], Snapshot],
        stop: threading.Event,
    ) -> "Joined":
        """The ring of what is asked for with `options`; the source itself is read by `backend` and looked at by `resolve`.

        Raises what the seed peer raises, SwarmError where none answers, Cancelled once `stop` is set.
        """
        # brings libtorrent along, which a daemon without seed peers neither needs nor, on the newest Python, has
        from dfly.node.joining import join
        from dfly.node.reserve import Source

        source = Source(
            backend=backend,
            resolve=resolve,
            plugins=self.plugins,
            network=self.network,
            settings=self.settings,
            patience=self.patience,
        )
        return join(
            ask,
            travelling(backend_class, options),
            self.joining,
            client=self.client,
            source=source,
            secret=secret_options(backend_class),
            stop=stop,
        )
