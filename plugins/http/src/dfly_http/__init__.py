"""Plain web servers for dfly: links to one file, over http:// and https://."""

from collections.abc import Iterable

import dfly


@dfly.hookimpl
def dfly_backends() -> Iterable[type[dfly.Backend]]:
    """The one backend, for both schemes."""
    from dfly_http.backend import HttpBackend

    return [HttpBackend]
