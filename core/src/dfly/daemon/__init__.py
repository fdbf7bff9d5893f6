"""The node daemon: a cache of blobs that outlives the command that filled it, and serves the machines beside this one.

    dfget ── unix socket ──▶ front ─▶ visit ─▶ errand ──▶ cache (BlobStore, quota)
      ▲                                         │  ╲──▶ back to the source, into the store
      ╰──── open descriptors ───────────────────╯   ╲─▶ neighbours ─▶ the one libtorrent session

Who resolves, plans, checks and writes outputs is `dfget`, with its own user's rights: the daemon hands out open, read-only
descriptors and never writes where its callers could not. What it hands out is what the source, asked with the caller's own
options, has just listed: to know a blob's id opens nothing.

A task here is the embedded engine (`node`) with other arrivals: they gather in the store and end as committed blobs, small files
each as one of its own, so that the next revision finds what it shares with this one. One blob arrives once, whoever else wants
it waits for it; every task has its place in its own ring, all of them through one session.

Modules, each importing only those above it (and `node`, `seed`, `store`, `swarm`, … below this package):

    notify        READY=1 and the like, to systemd
    finding       where the socket is, and whether its owner may be told a secret
    protocol      the lines on the socket, and the descriptors that travel beside them
    eviction      which blobs to give up so that others fit: arithmetic
    books         how much each blob takes on the disk, and who needs it: from memory
    turns         one thread at a time for each blob on the disk
    room          room for what is to arrive: how much is lacking, who is given up for it
    cache         the store with a quota: what is here, in use, altered; tells who waits for a blob
    packed        small files and their pack: what comes along with one, what is here already
    stored        arrivals that end in the cache, and what can be saved of a damaged blob
    claims        which blobs are being brought, by whom
    seating       how it sits down in a task's ring
    admission     a caller's ask, resolved with the caller's own options
    records       the snapshots that were brought, on disk: for the next start
    exporting     what is in the cache, as the archives of seed peers are made of it
    reopening     recorded sources, opened again as anybody may: places to take again, blobs to mend, a hub that is away
    names         what branches were last, on disk: for when the hub cannot be asked
    session       the libtorrent session as several tasks see it
    held          a whole blob as others may have it
    offer         all that is here of a task as torrents, while somebody takes them
    placed        a place in a ring as operators see it
    serving       a task's place in its ring once everything is here: others take it from this node
    places        all places that this node has, at most so many, and who it is there
    rounds        one task's way round its ring, for all errands that want something of it
    neighbours    a task's blobs brought by its ring, the place kept afterwards, and taken again after a restart
    underway      the errands that go on, as an operator sees them
    activity      what errands have done so far, in numbers
    errand        one caller's wishes: brings what is missing, hands out what is there
    naming        under which name this node stands by
    standing_by   errands that seed peers send this node on, before anybody here asks
    repair        looks whether blobs are still what they were, and mends them with errands of its own
    visit         one connection of a dfget
    bringing      one blob, brought for everybody who reads it meanwhile
    reading       one file, read while it arrives
    passing       requests that a hub's facade passes on to the hub
    reads         what facades are offered: sources resolved, files read
    endpoints     the facades of hubs, as a web server sees them
    front         the unix socket: who may connect, and whether it is a dfget or HTTP
    inventory     what operators ask and change: snapshots, rings, settings; pins, removals
    metrics       those numbers, and the cache's and the session's, for Prometheus
    app           the HTTP face: health, status, and the parts with routes of their own
    settings      what a daemon is told when it starts
    parts         builds what works behind the faces, and takes it down in order
    process       puts the faces before it, answers, and ends
    client        the other end of the socket: what `dfly.fetch` borrows from (imports `finding` and `protocol` only)

On disk, beside what the store keeps (`dfly.store.blobs`): `<data>/snapshots/<task>.json` and `<data>/names.json`, mode 0600.
"""
