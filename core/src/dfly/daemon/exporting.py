"""What a node daemon has, as the export of seed peers reads it (`dfly.seed.operators.export`): the same
archive, from a node's cache.
"""

import attrs

from dfly.backend import option_fields
from dfly.daemon.cache import Cache
from dfly.daemon.records import Record, Records
from dfly.errors import DflyError
from dfly.origin.backends import Backends
from dfly.plugins import Plugins
from dfly.seed.operators.export import Export
from dfly.seed.operators.remembered import Remembered, revision_of, shareable
from dfly.store.blobs import Committed


def export_from(cache: Cache, records: Records, *, plugins: Plugins, backends: Backends) -> Export:
    """The face that exports what is in `cache`; nothing of it is given up meanwhile."""
    return Export(
        remembered=lambda: [_remembered(record, plugins) for record in records.all()],
        store=_Kept(cache),
        plugins=plugins,
        backends=backends,
        holding=cache.in_use,
    )


@attrs.frozen
class _Kept:
    _cache: Cache

    def committed(self, blob: str) -> Committed | None:
        return self._cache.usable(blob)


def revisions(record: Record) -> tuple[str, ...]:
    """What its revision was asked for as ("main"), if it was."""
    revision = revision_of(shareable(record.ask.url, record.snapshot), record.snapshot, _options(record))
    return (revision,) if revision else ()


def _options(record: Record) -> dict[str, tuple[str, ...]]:
    return {name: (value,) if isinstance(value, str) else value for name, value in record.options.items()}


def _remembered(record: Record, plugins: Plugins) -> Remembered:
    url = shareable(record.ask.url, record.snapshot)
    return Remembered(
        task=record.task,
        ask=attrs.evolve(record.ask, url=url),
        snapshot=record.snapshot,
        urls={url: record.used},
        alone=(url,) if _means_it_alone(record, plugins) else (),
        revisions=revisions(record),
        options=_options(record),
        used=record.used,
        pinned=record.pinned,
    )


def _means_it_alone(record: Record, plugins: Plugins) -> bool:
    """Whether no option that was given with the URL may have changed what it means."""
    try:
        fields = option_fields(plugins.backend_for(record.snapshot.source)) if record.options else ()
    except DflyError:  # the plugin is gone
        return False
    return not any(field.chooses and field.field in record.options for field in fields)
