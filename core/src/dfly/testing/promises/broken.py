"""How the kit says that a promise is broken: which one, what was seen, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, ParamSpec, TypeVar

from dfly.backend import Backend
from dfly.errors import DflyError, Expired, RangesUnsupported
from dfly.origin.patience import MOST_RENEWALS
from dfly.testing.promises.promised import PROMISES
from dfly.testing.world import World
from dfly.values import Entry

__all__ = ["BrokenPromise", "broken", "expect", "must", "promise", "read", "renewed", "tree_only"]

E = TypeVar("E", bound=DflyError)
P = ParamSpec("P")
T = TypeVar("T")


class BrokenPromise(AssertionError):
    """A backend does not do what `dfly.backend` says. `promise` is a name of PROMISES; the message says what to do."""

    def __init__(self, name: str, seen: str, *, do: str) -> None:
        assert name in PROMISES, name
        super().__init__(f"[{name}] {seen}\n    what to do: {do}")
        self.promise = name


def broken(name: str, seen: str, *, do: str) -> NoReturn:
    """Fail the running test."""
    raise BrokenPromise(name, seen, do=do)


def promise(kept: object, name: str, seen: str, *, do: str) -> None:
    """Fail the running test unless `kept` is true."""
    if not kept:
        broken(name, seen, do=do)


def tree_only(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call, and fail the running test on any exception that is not a DflyError."""
    try:
        return call(*args, **kwargs)
    except (DflyError, BrokenPromise):
        raise
    except Exception as error:
        raise BrokenPromise(
            "errors.tree",
            f"{type(error).__name__}: {error} came out of the backend",
            do="catch what your client library raises and raise the dfly.errors type that says what happened: "
            "the core decides by type whether to retry, resume or give up",
        ) from error


def must(name: str, call: Callable[..., T], *args: Any, do: str) -> T:
    """What `call` returns; any error breaks this promise."""
    try:
        return tree_only(call, *args)
    except DflyError as error:
        broken(name, f"raised {type(error).__name__}: {error.message}", do=do)


def expect(wanted: type[E] | tuple[type[E], ...], name: str, call: Callable[..., Any], *args: Any, do: str) -> E:
    """The error that `call` raises, which must be of a wanted type."""
    types = wanted if isinstance(wanted, tuple) else (wanted,)
    names = " or ".join(error.__name__ for error in types)
    try:
        value = tree_only(call, *args)
    except types as error:
        return error
    except DflyError as error:
        broken(name, f"raised {type(error).__name__} ({error.message}) instead of {names}", do=do)
    broken(name, f"returned {value!r} instead of raising {names}", do=do)


def read(backend: Backend, entry: Entry, start: int, stop: int | None, world: World) -> bytes | None:
    """All bytes of one `get`; None where the origin cannot do ranges and said so. Gives up on a body without end."""
    asked = f"get(entry, {start}, {stop})"
    longest = len(world.content) + (1 << 20)
    got = bytearray()
    try:
        for chunk in _checked(renewed(backend, entry, start, stop), asked):
            got += chunk
            promise(len(got) <= longest, "get.exact", f"{asked} has no end", do="stop at `stop`")
    except RangesUnsupported:
        if not world.ranges and (start, stop) not in ((0, None), (0, entry.size)):
            return None
        broken(
            "get.exact",
            f"{asked} raised RangesUnsupported",
            do="raise it only for a part, and only if the origin cannot serve one; then set World(ranges=False)",
        )
    return bytes(got)


def renewed(backend: Backend, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:
    """What `get` yields, asked again at the offset where a link has run out, as the core does: some work only once."""
    in_vain = 0
    while True:
        try:
            for chunk in tree_only(backend.get, entry, start, stop):
                yield chunk
                start, in_vain = start + len(chunk), 0
        except Expired:
            in_vain += 1
            if in_vain > MOST_RENEWALS:
                raise
        else:
            return


def _checked(chunks: Iterator[bytes], asked: str) -> Iterator[bytes]:
    while (chunk := tree_only(next, chunks, None)) is not None:
        promise(
            isinstance(chunk, bytes),
            "get.chunks",
            f"{asked} yielded a {type(chunk).__name__}",
            do="yield bytes: they are hashed and written as they are",
        )
        yield chunk
