"""Hugging Face Hub for dfly: `hf://[models|datasets|spaces|kernels/]owner/repo[@revision][/path]` and pasted web links.

Reading order: `urls` (the grammar) → `settings` → `api` (the hub's JSON and URLs) → `refusals` (what its errors mean) →
`revisions` (names → commits) → `backend`; then the other way round, `routes` → `listing` → `delivery` → `facade`: the hub's
API as a node daemon answers it. `dfly_hf.testing` is a whole hub on loopback.
"""

from collections.abc import Iterable

from dfly import Backend, Facade, hookimpl


@hookimpl
def dfly_backends() -> Iterable[type[Backend]]:
    """The one backend of this plugin."""
    # imported here, because listing the installed plugins must not pay for httpx
    from dfly_hf.backend import HfBackend

    return [HfBackend]


@hookimpl
def dfly_endpoints() -> Iterable[type[Facade]]:
    """The hub's API on a node daemon."""
    from dfly_hf.facade import HfFacade

    return [HfFacade]
