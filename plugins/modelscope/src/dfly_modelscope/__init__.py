"""ModelScope for dfly: `modelscope://[models|datasets/]owner/repo[@revision][/path]` and pasted web links.

Reading order: `urls` (the grammar) → `settings` → `envelope` (what its answers mean) → `api` (its URLs and JSON) →
`listing` (whole trees past its limits) → `backend`; then the other way round, `routes` → `tree` → `delivery` → `facade`: the
hub's API as a node daemon answers it. `dfly_modelscope.testing` is a whole hub on loopback.
"""

from collections.abc import Iterable

from dfly import Backend, Facade, hookimpl


@hookimpl
def dfly_backends() -> Iterable[type[Backend]]:
    """The one backend of this plugin."""
    # imported here, because listing the installed plugins must not pay for httpx
    from dfly_modelscope.backend import ModelScopeBackend

    return [ModelScopeBackend]


@hookimpl
def dfly_endpoints() -> Iterable[type[Facade]]:
    """The hub's API on a node daemon."""
    from dfly_modelscope.facade import ModelScopeFacade

    return [ModelScopeFacade]
