"""The settings that a process really runs with, for whoever has to find out: all of them, and no secret."""

import re
from typing import Any

import attrs

from dfly.backend import Secret

#: User-info of a URL that somebody is asked for a password by.
_PASSWORD = re.compile(r"\b((?:https?|socks\w*)://)[^/@\s]*@")


def effective(config: Any) -> dict[str, Any]:
    """Every field of an attrs value in its JSON form. A secret is "set" or "not set", a proxy is shown without its password."""
    return {field.name: _shown(field, getattr(config, field.name)) for field in attrs.fields(type(config))}


def _shown(field: Any, value: Any) -> Any:
    if "Secret" in str(field.type) or isinstance(value, Secret) or field.repr is False:
        return "set" if value else "not set"
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return "set"
    if attrs.has(type(value)):
        return effective(value)
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1***@", value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
