"""One task on one machine: a source URL becomes files. `fetch` is the door; the rest are its parts.

fetch ─▶ task ─┬─▶ direct    from the origin, with this process's own fetcher
└─▶ joining   from the swarm: rolling (the loop) over segments, helping, circle, trust, workers
arrival, gather, proof       one blob on its way: where its bytes gather, verification, the atomic last step
freight, at_once             which blobs travel through the swarm, small files cut out of their pack; files without a partial
control, listening, reporting, succession, reserve      speaking with a seed peer, and with who takes its place
travelling, revival          which options go along to a seed peer; the errors that others tell of, raised here

Nothing here draws or parses: what happens comes out as `dfly.events`.
"""
