"""`--<prefix>-cache [DIR]`: the flag of a backend that can fill the cache of its hub's own tools.

DIR may be left out, which a parser cannot see by itself where a URL follows: `spelled_out` writes it as empty then.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import attrs
import typer

from dfly.backend import Backend, option_fields
from dfly.cli.options import markup, panel
from dfly.errors import UsageError
from dfly.plugins.hearsay import HearsayBackend

_FLAG = re.compile(r"--[a-z][a-z0-9-]*-cache")


def spelled_out(argv: Sequence[str]) -> list[str]:
    """The command line with `=` behind each cache flag that has no folder.

    >>> spelled_out(["--x-cache", "x://a", "--y-cache", "here", "--z-cache", "-r"])
    ['--x-cache=', 'x://a', '--y-cache', 'here', '--z-cache=', '-r']
    """
    words = list(argv)
    end = words.index("--") if "--" in words else len(words)
    for at, word in enumerate(words[:end]):
        following = words[at + 1] if at + 1 < end else "-"
        if _FLAG.fullmatch(word) and (following.startswith("-") or "://" in following):
            words[at] = f"{word}="
    return words


def refuse_strange(argv: Sequence[str], backends: Iterable[type[Backend]], *, taken: Iterable[str]) -> None:
    """Raise UsageError for a cache flag on the command line that a backend of its URLs has not. `taken` are core's own flags."""
    given = {word.partition("=")[0] for word in argv} - set(taken)
    for backend in backends:
        known = {flag for field in option_fields(backend) for flag in (field.flag, *field.flags)}
        own = _flag(backend) if backend.cache_layout else ""
        for flag in sorted(given - known):
            if _FLAG.fullmatch(flag) and flag != own:
                scheme = backend.schemes[0]
                hint = f"it has {own}" if own else "fetch it to a folder with -O"
                if issubclass(backend, HearsayBackend):
                    hint = f"pip install {backend.distribution}: a seed peer's plugin fills no cache here"
                raise UsageError(f"{scheme}:// has no {flag}", hint=hint)


@attrs.frozen
class CacheFlags:
    """The cache flags of some backends. `taken` are flags that are something else already."""

    names: Mapping[str, str]
    parameters: tuple[inspect.Parameter, ...]

    @classmethod
    def of(cls, backends: Iterable[type[Backend]], *, taken: Iterable[str]) -> "CacheFlags":
        """One flag for each backend that has a cache layout."""
        used, names, parameters = set(taken), {}, []
        for backend in backends:
            flag = _flag(backend)
            if backend.cache_layout is None or flag in used:
                continue
            used.add(flag)
            name = f"cache__{flag.strip('-')}".replace("-", "_")
            names[name] = flag
            info = typer.Option(
                flag,
                metavar="[DIR]",
                help=markup(f"Instead of -O: fill {backend.cache_layout.help.rstrip('.')}"),
                show_default=False,
                rich_help_panel=panel(backend),
            )
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(name, keyword, default=None, annotation=Annotated[str | None, info]))
        return cls(names, tuple(parameters))

    def take(self, values: dict[str, Any]) -> str | None:
        """Remove the flags' values from what typer parsed, and return the one that was given. Raises UsageError for two."""
        given = {flag: value for name, flag in self.names.items() if (value := values.pop(name, None)) is not None}
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} are two places", hint="fetch one source after the other")
        return next(iter(given.values()), None)


def with_cache_flags(command: Callable[..., int], flags: CacheFlags) -> Callable[..., int]:
    """`command` with the cache flags in its signature; it gets what was given as `cache`."""

    def extended(**values: Any) -> int:
        cache = flags.take(values)
        return command(**values, cache=cache)

    parameters = [*inspect.signature(command).parameters.values(), *flags.parameters]
    extended.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    extended.__annotations__ = {p.name: p.annotation for p in parameters}
    return extended


def _flag(backend: type[Backend]) -> str:
    return f"--{backend.prefix or backend.schemes[0]}-cache"
