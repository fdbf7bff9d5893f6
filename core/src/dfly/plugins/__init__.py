"""How a hub plugin is found. This docstring is the author's guide; `docs/plugins.md` walks through a whole one.

A plugin is a distribution with an entry point in the group `dfly` for each URL scheme it serves, all naming one module:

    [project.entry-points.dfly]
    gopher = "dfly_gopher"

and in that module one function that returns backend classes:

    import dfly

    @dfly.hookimpl
    def dfly_backends():
        from dfly_gopher.backend import GopherBackend
        return [GopherBackend]

A second function, `dfly_endpoints`, may return the hub's own API as a node daemon answers it: see `dfly.facade`.

The entry point's *name* is the scheme, so only the plugin that a URL needs is imported. A second group, `dfly.hosts`, maps a
host name to the module whose backend understands pasted web links of that host: its `list` and `stat` get the https URL as it is.

A plugin that cannot be imported, or claims a scheme that another distribution has, is reported by name and never fatal:
`dfctl plugins` lists it, and asking for its scheme says why it is not there.
"""

from dfly.plugins.discovery import Broken, Found, Plugins
from dfly.plugins.hookspecs import hookimpl, hookspec

__all__ = ["Broken", "Found", "Plugins", "hookimpl", "hookspec"]
