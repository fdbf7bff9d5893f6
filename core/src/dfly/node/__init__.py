"""One task on one machine: a source URL becomes files. `fetch` is the door; the rest are its parts.

resolve    source URL → pinned snapshot → the entries asked for
arrival    one blob on its way: partial, verification, the atomic last step
direct     brings arrivals from the origin with this process's own fetcher (the embedded default)
"""
