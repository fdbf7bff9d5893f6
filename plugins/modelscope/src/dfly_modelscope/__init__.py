"""ModelScope for dfly: `modelscope://[models|datasets/]owner/repo[@revision][/path]` and pasted web links.

Reading order: `urls` (the grammar) → `settings` → `envelope` (what its answers mean) → `api` (its URLs and JSON) →
`listing` (whole trees past its limits) → `backend`. `dfly_modelscope.testing` is a whole hub on loopback.
"""

from collections.abc import Iterable

from dfly import Backend, hookimpl


@hookimpl
def dfly_backends() -> Iterable[type[Backend]]:
    """The one backend of this plugin."""
    # imported here, because listing the installed plugins must not pay for httpx
    from dfly_modelscope.backend import ModelScopeBackend

    return [ModelScopeBackend]
