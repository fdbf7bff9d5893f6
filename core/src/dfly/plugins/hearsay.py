"""Backends known by hearsay: what a seed peer tells of a plugin that this machine has not (`GET /v1/plugins`).

Its options are enough: a node then has the plugin's flags and variables, sends along what was given, and takes the bytes from
the swarm. It cannot go to the source by itself, so what must not travel is no use here, and is no flag.

What a seed peer tells is a stranger's word. It makes a node read no variable but those named after the scheme that was typed,
so that nobody gets another service's keys by calling their variables options. What may have been told by somebody on the way
(`private` False) is treated as if it were secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import attrs

from dfly.backend import Backend, option
from dfly.errors import Unsupported
from dfly.hearing import quoted
from dfly.values import Entry, Snapshot, bare_url

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
_PREFIX = re.compile(r"[a-z][a-z0-9-]{0,31}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FLAG = re.compile(r"--[a-z][a-z0-9-]{0,63}")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_MOST_OPTIONS = 64


class HearsayBackend(Backend):
    """Told of by a seed peer"""

    #: What to install for the real one.
    distribution: ClassVar[str]

    def stat(self, url: str) -> Entry:
        """Raises Unsupported."""
        self._refuse(url)

    def list(self, url: str) -> Snapshot:
        """Raises Unsupported."""
        self._refuse(url)

    def get(self, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:  # noqa: ARG002 - the contract's words
        """Raises Unsupported."""
        self._refuse(entry.url)

    def _refuse(self, url: str) -> NoReturn:
        scheme = self.schemes[0]
        raise Unsupported(
            f"{scheme}:// cannot be fetched from here but through a seed peer: its plugin is not installed",
            hint=f"pip install {self.distribution}",
            url=bare_url(url),
        )


def told_backends(told: Any, *, taken: Collection[str], private: bool) -> dict[str, type[HearsayBackend]]:
    """The backends in a seed peer's answer, by scheme; what cannot be read is left out.

    A scheme or prefix in `taken` stays with the plugin that is installed here.
    """
    found: dict[str, type[HearsayBackend]] = {}
    rows = told.get("plugins") if isinstance(told, Mapping) else None
    for row in rows if isinstance(rows, list) else ():
        match row:
            case {"schemes": [*schemes], "prefix": str(prefix), "options": [*options]}:
                if not _PREFIX.fullmatch(prefix) or prefix in taken or len(options) > _MOST_OPTIONS:
                    continue
                for scheme in schemes:
                    if isinstance(scheme, str) and _SCHEME.fullmatch(scheme) and scheme not in taken:
                        backend = _backend(scheme, prefix, options, row.get("distribution"), private=private)
                        if backend is not None:
                            found.setdefault(scheme, backend)
    return found


def _backend(
    scheme: str, prefix: str, options: list[Any], distribution: Any, *, private: bool
) -> type[HearsayBackend] | None:
    fields = {}
    for row in options:
        if isinstance(row, Mapping) and row.get("travels") is False:
            continue
        made = _option(row, scheme, private=private)
        if made is None:
            return None
        # no DFLY_<PREFIX>_… that belongs to something else
        made.metadata["unnamed"] = prefix != scheme
        fields[row["field"]] = made
    named = isinstance(distribution, str) and _DISTRIBUTION.fullmatch(distribution)
    return type(
        "Hearsay",
        (HearsayBackend,),
        {
            "__doc__": HearsayBackend.__doc__,
            "schemes": (scheme,),
            "prefix": prefix,
            "options": attrs.make_class("HearsayOptions", fields, frozen=True, repr=False),
            "distribution": distribution if named else f"dfly-plugin-{scheme}",
        },
    )


def _option(row: Any, scheme: str, *, private: bool) -> Any:
    """The option that a row tells of; None where it is none."""
    match row:
        case {
            "field": str(field),
            "help": str(text),
            "default": str() | None as default,
            "secret": bool(secret),
            "travels": bool(travels),
            "repeated": bool(repeated),
            "env": [*env],
            "flags": [*flags],
        } if _FIELD.fullmatch(field):
            return option(
                None if repeated else default,
                help=quoted(text),
                env=tuple(name for name in env if _is_named_after(scheme, name)),
                secret=secret or not private,
                travels=travels,
                repeated=repeated,
                flags=tuple(flag for flag in flags if isinstance(flag, str) and _FLAG.fullmatch(flag)),
            )
    return None


def _is_named_after(scheme: str, name: Any) -> bool:
    own = re.sub(r"[^A-Z0-9]", "_", scheme.upper())
    # DFLY_<SCHEME>_… is an option's own name anyway
    return isinstance(name, str) and name.startswith(f"{own}_") and not name.startswith("DFLY_")
