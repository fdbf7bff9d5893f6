"""Whose options a backend runs with when a node asks: what the node sent, over what this machine has.

A secret that may travel is the node's or nobody's: with the seed peer's own token in its place, everyone would read what only
the seed peer may. What may not travel (instance roles, key files) is this machine's, and goes only to its own endpoint.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import attrs

from dfly.backend import Backend, OptionField, Secret, build_options, option_fields
from dfly.errors import AccessDenied, UsageError
from dfly.plugins import Plugins
from dfly.values import bare_url

#: Header values by option name ("gopher-token").
Given = Mapping[str, tuple[str, ...]]


@attrs.frozen(kw_only=True)
class CallerOptions:
    """`settings` for the backend; `content` is what may change the answer; `secrets` names the caller's rights without
    showing them ("" where it has none). `endpoints` are the places it chose that are not this machine's own choice.
    """

    settings: Any = attrs.field(repr=False)
    content: tuple[tuple[str, str], ...]
    secrets: str
    endpoints: tuple[str, ...] = ()


def caller_options(backend: type[Backend], given: Given, env: Mapping[str, str] = os.environ) -> CallerOptions:
    """The options for one request. Raises UsageError for values that are wrong, or that nodes must not send."""
    fields = {spec.field: spec for spec in option_fields(backend)}
    said = {name: values for name, spec in fields.items() if (values := _said(spec, given))}
    for name in said:
        if not fields[name].travels:
            raise UsageError(
                f"{fields[name].flag} must not be sent to a seed peer", hint="it is for the seed peer to set"
            )
    try:
        own = build_options(backend, {}, env)
        theirs = build_options(backend, {n: v if fields[n].repeated else v[-1] for n, v in said.items()}, {})
    except (ValueError, TypeError) as error:
        raise UsageError(f"an option of {backend.schemes[0]}:// is wrong: {error}") from error
    endpoints = [n for n in said if fields[n].endpoint and getattr(theirs, n) != getattr(own, n)]
    defaults = attrs.fields_dict(backend.options)
    changes = {name: getattr(theirs, name) for name in said}
    for name, spec in fields.items():
        if spec.secret and name not in said and (spec.travels or endpoints):
            changes[name] = defaults[name].default
    settings = attrs.evolve(own, **changes)
    if endpoints:
        settings = backend.at_strange_endpoint(settings)
    return CallerOptions(
        settings=settings,
        content=tuple((n, repr(getattr(settings, n))) for n, spec in fields.items() if not spec.secret),
        secrets=_fingerprint({name: values for name, values in said.items() if fields[name].secret}),
        endpoints=tuple(value for n in endpoints for value in said[n]),
    )


def not_open(url: str, backend: type[Backend]) -> AccessDenied:
    """What a caller is told who may not read what others may, by the flags that would have opened it."""
    keys = [spec.flag for spec in option_fields(backend) if spec.secret and spec.travels]
    return AccessDenied(
        f"{bare_url(url)} is not open to these credentials",
        hint=f"check {', '.join(keys)}" if keys else "ask who runs the seed peer",
        url=bare_url(url),
    )


def schema(plugins: Plugins) -> Mapping[str, Any]:
    """What `GET /v1/plugins` answers: the options of every plugin, so that a node can have flags without having plugins."""
    found = {claim.scheme: claim for claim in plugins.found()}
    rows: dict[type[Backend], dict[str, Any]] = {}
    for scheme, backend in plugins.load_all().items():
        claim = found.get(scheme)
        row = rows.setdefault(
            backend,
            {
                "schemes": [],
                "prefix": backend.prefix or backend.schemes[0],
                "distribution": claim.distribution if claim else "",
                "version": claim.version if claim else "",
                "options": [attrs.asdict(field) for field in option_fields(backend)],
            },
        )
        row["schemes"].append(scheme)
    return {"plugins": list(rows.values()), "broken": [attrs.asdict(broken) for broken in plugins.broken()]}


def plain_options(plugins: Plugins) -> frozenset[str]:
    """The names of all options that are no secret; a name that is not among them may be one."""
    fields = [field for backend in plugins.load_all().values() for field in option_fields(backend)]
    return frozenset(f.removeprefix("--").lower() for x in fields if not x.secret for f in (x.flag, *x.flags))


def _said(spec: OptionField, given: Given) -> tuple[str, ...]:
    names = (spec.flag, *spec.flags)
    return next((v for n in names if (v := given.get(n.removeprefix("--").lower()))), ())


def _fingerprint(secrets: Mapping[str, tuple[str, ...]]) -> str:
    if not secrets:
        return ""
    text = "\0".join(f"{name}={Secret(value).reveal()}" for name in sorted(secrets) for value in secrets[name])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
