"""What `/metrics` tells, by name: the one list of a seed peer's and a node daemon's, which `docs/metrics.md` repeats.

Base units, `_total` for what only grows. No label names a source, a file, a node or a person: there would be no end of them, and
whoever may read numbers may not read names.
"""

from typing import Literal

import attrs

from dfly.durations import Durations

Kind = Literal["counter", "gauge", "histogram"]
Role = Literal["seed-peer", "node"]

_SEED: frozenset[Role] = frozenset({"seed-peer"})
_NODE: frozenset[Role] = frozenset({"node"})
_BOTH = _SEED | _NODE


@attrs.frozen(kw_only=True)
class Family:
    """A metric: who tells it (`roles`), its labels, and what it means."""

    name: str
    kind: Kind
    means: str
    labels: tuple[str, ...] = ()
    roles: frozenset[Role] = _BOTH


@attrs.frozen
class Sample:
    """One value of a family, for the values of its labels in order; durations for a histogram."""

    family: Family
    value: float | Durations
    labels: tuple[str, ...] = ()


BUILD = Family(name="dfly_build_info", kind="gauge", labels=("version", "role"), means="Always 1; what runs here.")
READY = Family(name="dfly_ready", kind="gauge", means="1 while /readyz says so.")
RECEIVED = Family(
    name="dfly_received_bytes_total",
    kind="counter",
    labels=("source",),
    means="Content that this process took: from hub, seed-peer, peer (other nodes), or found in its cache.",
)
SENT = Family(
    name="dfly_sent_bytes_total",
    kind="counter",
    labels=("to",),
    means="Content that this process gave: to node (the web seed), client (stock BitTorrent clients, by their web seed), peer "
    "(the swarm), or dfget (files of the cache).",
)
CONTROL = Family(
    name="dfly_control_sent_bytes_total",
    kind="counter",
    roles=_SEED,
    means="Snapshots and event streams sent to nodes.",
)
NODES_RECEIVED = Family(
    name="dfly_nodes_received_bytes_total",
    kind="counter",
    labels=("source",),
    roles=_SEED,
    means="Content that all nodes took, as they report it: from seed-peer, peer, hub.",
)
PUBLISHED = Family(
    name="dfly_segments_published_total", kind="counter", roles=_SEED, means="Segments that nodes were told of."
)
SEGMENTS = Family(
    name="dfly_segments_verified_total",
    kind="counter",
    roles=_NODE,
    means="Segments that came, fit their hashes and are on the disk.",
)
BLOBS = Family(
    name="dfly_blobs_total",
    kind="counter",
    labels=("outcome",),
    roles=_SEED,
    means="Blobs that were complete (and right), withdrawn (the bytes were wrong), or failed (cannot be had).",
)
CACHE_REQUESTS = Family(
    name="dfly_cache_requests_total",
    kind="counter",
    labels=("result",),
    means="Blobs that somebody wanted: a hit was here, a miss was not.",
)
CACHE_BYTES = Family(name="dfly_cache_bytes", kind="gauge", means="Bytes of the blobs that are kept.")
CACHE_LIMIT = Family(
    name="dfly_cache_limit_bytes", kind="gauge", roles=_NODE, means="Bytes that may be kept; absent without a limit."
)
CACHE_BLOBS = Family(name="dfly_cache_blobs", kind="gauge", means="Blobs that are kept, whole and right.")
DISK_FREE = Family(name="dfly_disk_free_bytes", kind="gauge", means="Bytes free where the blobs are.")
TASKS = Family(name="dfly_tasks", kind="gauge", means="Tasks open: selections of snapshots, or callers being served.")
MEMBERS = Family(name="dfly_members", kind="gauge", roles=_SEED, means="Nodes in rings, each once for every task.")
UNDONE = Family(name="dfly_members_undone", kind="gauge", roles=_SEED, means="Those of them that still lack something.")
STREAMS = Family(name="dfly_streams", kind="gauge", roles=_SEED, means="Open event streams.")
RINGS = Family(name="dfly_rings", kind="gauge", roles=_NODE, means="Rings that this node has a place in.")
CONNECTIONS = Family(
    name="dfly_peer_connections",
    kind="gauge",
    roles=_NODE,
    means="BitTorrent connections, each once for every torrent.",
)
COMPLAINTS = Family(
    name="dfly_complaints_total",
    kind="counter",
    labels=("kind",),
    roles=_SEED,
    means="What nodes complained of: stalled segments, wrong_bytes and silent_peer of others, doubt about one piece, "
    "wrong bytes of the web_seed.",
)
STALLS = Family(
    name="dfly_stalls_total", kind="counter", roles=_NODE, means="Times that no byte of a file came for seconds."
)
ERRORS = Family(
    name="dfly_errors_total",
    kind="counter",
    labels=("kind",),
    means="What could not be done, by the class of its error.",
)
HUB_RETRIES = Family(name="dfly_hub_retries_total", kind="counter", means="Times that a hub was asked again.")
HUB_WAITING = Family(
    name="dfly_hub_waiting", kind="gauge", roles=_SEED, means="1 while nothing comes from a hub that should."
)
HUB_REQUESTS = Family(
    name="dfly_hub_request_duration_seconds",
    kind="histogram",
    labels=("kind",),
    means="From a request to a hub (api, or content for files) to the head of its answer.",
)
RESOLVING = Family(
    name="dfly_resolve_duration_seconds",
    kind="histogram",
    roles=_SEED,
    means="From a node's question what a source is to the answer.",
)
DURATIONS = Family(
    name="dfly_task_duration_seconds",
    kind="histogram",
    means="From a node's first word to its last byte; at a node, from a caller's wish to its last file.",
)

#: All of them, in the order in which they are shown.
FAMILIES: tuple[Family, ...] = tuple(found for found in list(vars().values()) if isinstance(found, Family))


def told_by(role: Role) -> tuple[Family, ...]:
    """Those of one kind of process."""
    return tuple(family for family in FAMILIES if role in family.roles)
