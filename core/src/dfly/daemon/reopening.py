"""Recorded sources, opened again where nobody resolves them: mostly no caller is there then who could show a secret.

After a restart a daemon takes its places in the rings again; a damaged blob is mended whenever it is found; while the hub is away
a record stands in for it. All that there is to open a source with then are the options of its record, which hold no secret,
or those of a caller who has come since.

Whoever had it recorded may be another user, and an endpoint of theirs is not shown what is ambient here (see `admission`).
"""

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from dfly.backend import Backend, build_options, option_fields
from dfly.daemon.admission import Admitted, options_from
from dfly.daemon.records import Record
from dfly.daemon.seating import Seating
from dfly.errors import DflyError
from dfly.node.lending import Given
from dfly.origin.resolve import resolve
from dfly.wire import Ask

if TYPE_CHECKING:
    from dfly.node.joining import Joined


class Reopening:
    """Opens records, and sits down in their rings by `seating`. `closing` ends what `with_ring` is at."""

    def __init__(
        self,
        *,
        seating: Seating,
        closing: threading.Event,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._seating, self._joining = seating, seating.joining
        self._plugins, self._backends = seating.plugins, seating.backends
        self._closing, self._environment = closing, environment

    def alone(self, record: Record, given: Given | None = None) -> Admitted:
        """The source as it was recorded, opened with the options of whoever comes now (None: its own). Asks nobody."""
        return self._admitted(record, None, record.options if given is None else given)

    def with_ring(self, record: Record) -> Admitted:
        """The source as it was recorded, with its ring where a seed peer still knows it as the same task."""
        joined = None
        if self._joining.seed_peers and record.swarmed and record.resolved.seal:
            with suppress(DflyError):
                joined = self.join(record, stop=self._closing)
        if joined is not None and joined.seat.task != record.task:
            joined = None
        return self._admitted(record, joined, record.options)

    def join(self, record: Record, *, stop: threading.Event) -> "Joined":
        """Its ring, at a seed peer: that of another task where the source is another one by now.

        Raises what the seed peer raises, SwarmError where none answers, Cancelled once `stop` is set.
        """
        backend_class, settings = self._options(record, record.options)
        backend = partial(self._backends.get, *self._means(record, record.options))
        ask = Ask(
            url=record.snapshot.source,
            recursive=record.ask.recursive,
            include=record.ask.include,
            exclude=record.ask.exclude,
            lazy=record.ask.lazy,
            known=record.resolved,
        )
        return self._seating.at_ring(
            ask,
            backend_class,
            settings,
            backend=backend,
            resolve=lambda: resolve(
                backend(), ask.url, recursive=ask.recursive, include=ask.include, exclude=ask.exclude
            ),
            stop=stop,
        )

    def _admitted(self, record: Record, joined: "Joined | None", given: Given) -> Admitted:
        return Admitted(
            ask=record.ask,
            resolved=record.resolved,
            backend=partial(self._backends.get, *self._means(record, given)),
            joined=joined,
            plain=record.options,
        )

    def _means(self, record: Record, given: Given) -> tuple[type[Backend], Any]:
        """The backend, and the options that this process itself opens it with."""
        backend_class, settings = self._options(record, given)
        chosen = [spec.field for spec in option_fields(backend_class) if spec.endpoint and spec.field in given]
        if chosen:
            own = build_options(backend_class, {}, self._environment)
            if any(getattr(settings, name) != getattr(own, name) for name in chosen):
                settings = backend_class.at_strange_endpoint(settings)
        return backend_class, settings

    def _options(self, record: Record, given: Given) -> tuple[type[Backend], Any]:
        """The backend and its options, as they were given."""
        backend_class = self._plugins.backend_for(record.ask.url)
        return backend_class, options_from(backend_class, given)
