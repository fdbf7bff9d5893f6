"""The hooks of group `dfly`. Both collect: a plugin registers classes, behaviour lives on the classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from dfly.backend import Backend
    from dfly.facade import Facade

hookspec = pluggy.HookspecMarker("dfly")
hookimpl = pluggy.HookimplMarker("dfly")


@hookspec
def dfly_backends() -> Iterable[type[Backend]]:
    """Return the backend classes that this plugin brings. Called once; import heavy modules inside."""
    raise NotImplementedError


@hookspec
def dfly_endpoints() -> Iterable[type[Facade]]:
    """Return the facades of this plugin's hubs (`dfly.facade`), which a node daemon serves. Optional; called once."""
    raise NotImplementedError
