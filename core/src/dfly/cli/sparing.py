"""What a command need not import: each of these takes longer than fetching a small model does.

typer converts the values of flags with pydantic, though most of them are text and stay text; httpx brings a command line of its
own along, with click and rich, wherever those are installed.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from typer.core import TyperCommand


def spare_imports() -> None:
    """To be called in our own commands, before httpx is imported."""
    # None says that there is no such module, and httpx goes on without
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]


class SparingCommand(TyperCommand):
    """A command whose flags are converted by typer only where there is something to convert."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        for parameter in self.get_params(ctx):
            whole: Any = parameter
            whole.get_runtime_param = partial(_Sparing, whole.get_runtime_param)
        return super().parse_args(ctx, args)


class _Sparing:
    """Stands in for what typer converts with, which `typers` makes."""

    def __init__(self, typers: Callable[[], Any]) -> None:
        self._typers = typers

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        kind, parser = param.type_descriptor.annotation, param.type_descriptor.parameter_info.parser
        if many:
            convert = parser or (str if kind == list[str] else None)
            if convert is not None and not isinstance(value, str):
                return list(map(convert, value))
        elif parser is not None:
            return parser(value)
        elif type(value) is kind and (kind is str or value is param.default):
            return value
        return self._typers().coerce(value, param=param, ctx=ctx)
