"""Snapshots and their JSON form."""

from collections.abc import Mapping
from typing import Any

import attrs

from dfly.values import LAYOUT_VERSION, Entry, Snapshot
from dfly.wire.fields import WireError, digest_of, get, is_a, pairs, size_of


def snapshot_to_json(snapshot: Snapshot) -> dict[str, Any]:
    """The JSON form of a snapshot; entries are rows, as there may be very many."""
    rows = [
        [e.path, e.size, e.url, e.identity, [[d.algorithm, d.value] for d in e.digests], e.validator]
        for e in snapshot.entries
    ]
    fields = attrs.asdict(snapshot, recurse=False, filter=lambda a, _: a.name != "entries")
    return {**fields, "entries": rows}


def snapshot_from_json(d: Mapping[str, Any]) -> Snapshot:
    """Raises WireError."""
    entries = []
    for row in get(d, "entries", list):
        if not isinstance(row, list) or len(row) < 6:
            raise WireError("an entry is not a row of six")
        path, size, url, identity, digests, validator = row[:6]
        entries.append(
            Entry(
                path=is_a(path, str),
                size=None if size is None else size_of(size),
                url=is_a(url, str),
                identity=is_a(identity, str),
                digests=tuple(digest_of(a, v) for a, v in pairs({"digests": digests}, "digests")),
                validator=None if validator is None else is_a(validator, str),
            )
        )
    if get(d, "layout", int) != LAYOUT_VERSION:
        raise WireError(f"pieces are cut by rule {d['layout']}, this dfly knows rule {LAYOUT_VERSION}")
    return Snapshot(
        source=get(d, "source", str),
        name=get(d, "name", str),
        entries=entries,
        revision=None if d.get("revision") is None else get(d, "revision", str),
        public=get(d, "public", bool, False),
    )
