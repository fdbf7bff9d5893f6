"""The seed peer: goes back to the source once for everybody, and tells every node what it needs to know.

    peer        puts faces before the parts, listens, takes both down; `parts` builds those, `settings` is what it is told
    app         the HTTP routes; `access` who may ask, `answers` how it says no, `joining` who opens a stream
    catalog     a source URL → a snapshot, once for all who ask; `options` whose rights count, `flights` one question for many
    tasks       where nodes meet: freight, ring, stream; what the mirror does is told here
    wanting     what of a task's freight is asked of the mirror, and what of it first
    carrying    what nodes bring along from an earlier seed peer; `pulling` takes it from them
    stream      the event log and its listeners
    topology    who neighbours whom, and where segments enter
    webseed     published bytes for libtorrent; `grants` and `keys` are the permission in its path
    mirroring   what is asked of the mirror
    mirror      fetches each blob once: `queue` in which order, `inbound` how; `packings` and `packing` for small files

What else it answers comes as `faces`: `operators` (what is kept, preheating, archives), `stock` (.torrent files and their
tracker), `watching` (metrics, readiness, the live page).

Reading order: `topology.scheduler` (pure), `stream`, `tasks`, `catalog`, `webseed`, `app`, `parts`, `peer`.
"""
