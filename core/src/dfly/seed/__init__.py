"""The seed peer: goes back to the source once for everybody, and tells every node what it needs to know.

    peer        builds all parts, listens, takes them down
    app         the HTTP routes; `access` who may ask, `answers` how it says no, `joining` who opens a stream
    catalog     a source URL → a snapshot, once for all who ask; `options` whose rights count, `flights` one question for many
    tasks       where nodes meet: freight, ring, stream; what the mirror does is told here
    stream      the event log and its listeners
    scheduler   who neighbours whom, and where segments enter: `ring`, `chords`, `members`, `holdings`, `duties`, `accusations`
    remembered  what was resolved, on disk; `inventory` what operators ask and change, `shown` its rows, `effective` the settings
    webseed     published bytes for libtorrent; `grants` and `keys` are the permission in its path
    mirroring   what is asked of the mirror
    mirror      fetches each blob once

Reading order: `scheduler` (pure), `stream`, `tasks`, `catalog`, `webseed`, `app`, `peer`.
"""
