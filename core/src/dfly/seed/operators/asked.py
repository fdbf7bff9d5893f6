"""What an operator's request says: a small JSON object, each field of it checked. What is none raises UsageError."""

from collections.abc import Container, Iterable
from typing import Any

from aiohttp import web

from dfly.errors import NotFound, UsageError


async def json_body(request: web.Request) -> dict[str, Any]:
    """The object in the body; an empty one where there is no body."""
    if not request.can_read_body:
        return {}
    try:
        said = await request.json()
    except ValueError as error:
        raise UsageError("the body is not JSON") from error
    if not isinstance(said, dict):
        raise UsageError("the body is not an object")
    return said


def text(said: dict[str, Any], name: str) -> str:
    """A field that must be there."""
    value = said.get(name)
    if not isinstance(value, str):
        raise UsageError(f"give {name} as a text")
    return value


def known(blobs: Iterable[str], *, here: Container[str]) -> None:
    """Raises NotFound where one of `blobs` is not among those that are `here`."""
    for blob in blobs:
        if blob not in here:
            raise NotFound(f"there is no blob {blob} here", kind="blob", hint="dfctl ls --blobs shows which there are")


def flag(said: dict[str, Any], name: str, *, default: bool) -> bool:
    """A field that is true or false."""
    value = said.get(name, default)
    if not isinstance(value, bool):
        raise UsageError(f"give {name} as true or false")
    return value


def texts(said: dict[str, Any], name: str) -> tuple[str, ...] | None:
    """A field that is a list of texts; None where it is missing or null."""
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{name} is a list of texts")
    return tuple(value)
