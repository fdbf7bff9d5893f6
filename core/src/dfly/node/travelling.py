"""Which options of a backend go along to a seed peer, which asks the hub in this node's place: as headers, those that may."""

from collections.abc import Iterator, Mapping
from typing import Any

from dfly import wire
from dfly.backend import Backend, Secret, option_fields

#: Backend options by name ("gopher-token"); a repeated one's values are a tuple.
Options = Mapping[str, str | tuple[str, ...]]


def travelling(backend: type[Backend], settings: Any) -> dict[str, str | tuple[str, ...]]:
    """The options that may go to a seed peer, by option name ("gopher-token"), secrets revealed: for request headers only."""
    found: dict[str, str | tuple[str, ...]] = {}
    for field in option_fields(backend):
        value = getattr(settings, field.field)
        if not field.travels or not value or value == field.default:
            continue
        name = field.flag.removeprefix("--")
        if isinstance(value, tuple | list):
            found[name] = tuple(map(_revealed, value))
        elif isinstance(value, str | Secret):
            found[name] = _revealed(value)
    return found


def option_headers(options: Options) -> Iterator[tuple[str, str]]:
    """How options travel: each value as a header of its own."""
    for name, given in options.items():
        for value in (given,) if isinstance(given, str) else given:
            yield wire.OPTION_HEADER + name, value


def secret_options(backend: type[Backend]) -> frozenset[str]:
    """The names, as in `travelling`, of the options that nobody on the way may read."""
    return frozenset(field.flag.removeprefix("--") for field in option_fields(backend) if field.secret)


def _revealed(value: Any) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)
