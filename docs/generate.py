"""Writes what is in docs/ from the code: `python -m docs.generate`, or `make docs`.

`reference.md` has every flag, exit code, error, event and setting; `http-api.md` and `openapi/` every route (`docs.routes`).
A test compares them with what this would write, so they cannot fall behind.
"""

import inspect
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import typer.main
from docs import routes

from dfly import errors, events
from dfly.cli import dfctl, dfdaemon, dfget, output
from dfly.cli.manual import EXIT_CODES
from dfly.config import Fetch, Network, Patience
from dfly.events import SOURCES, Event
from dfly.plugins import Plugins

PAGE = Path(__file__).with_name("reference.md")

_HEAD = """# Reference

Written by `make docs` from the code; do not edit. For what dfly is and how to begin, see the [README](../README.md);
for writing a plugin, [plugins.md](plugins.md).
"""
_LINE_BREAKS = re.compile(r"\s+")


def main() -> None:
    """Write the pages."""
    PAGE.write_text(page(), encoding="utf-8")
    routes.main()


def page() -> str:
    """The whole page as Markdown."""
    plugins = Plugins()
    programs = {
        "dfget": dfget._app(partial(dfget.dfget, plugins=plugins, fetch=None), [*plugins.load_all().values()], plugins),
        "dfdaemon": dfdaemon._app(),
        "dfctl": dfctl._app(plugins, []),
    }
    parts = [_HEAD, *(_program(name, typer.main.get_command(app)) for name, app in programs.items())]
    return "\n".join([*parts, _config_file(programs["dfdaemon"]), _exit_codes(), _errors(), _events(), _settings()])


def _program(name: str, command: Any) -> str:
    lines = [f"## {name}", "", *_flags(command)]
    for sub, found in sorted(getattr(command, "commands", {}).items()):
        arguments = " ".join(_argument(p) for p in found.params if p.param_type_name == "argument")
        lines += [f"### {name} {sub} {arguments}".rstrip(), "", _text(found.help or ""), "", *_flags(found)]
    return "\n".join(lines)


def _flags(command: Any) -> list[str]:
    panels: dict[str, list[str]] = {}
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            continue
        panel = (getattr(parameter, "rich_help_panel", None) or "Shell").replace("\\[", "[")
        panels.setdefault(panel, []).append(_flag(parameter))
    lines = []
    for panel, rows in panels.items():
        lines += [f"**{panel}**", "", "| flag | value | environment | |", "| --- | --- | --- | --- |", *rows, ""]
    return lines


def _argument(parameter: Any) -> str:
    """As in the usage of its command: in brackets what may be left out, with dots what may be several."""
    name = (parameter.metavar or parameter.name.upper()) + "..." * (parameter.nargs == -1)
    return name if parameter.required else f"[{name}]"


def _flag(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(parameter.opts, key=len, reverse=True))
    value = "" if parameter.is_flag else f"`{parameter.metavar or ''}`"
    told, _, variables = (parameter.help or "").replace("\\[", "[").partition(" env: ")
    env = [parameter.envvar] if isinstance(parameter.envvar, str) else variables.split(", ") if variables else []
    return f"| {names} | {value} | {', '.join(f'`{name}`' for name in env)} | {_text(told)} |"


def _config_file(app: Any) -> str:
    intro = (
        "`dfdaemon --config FILE`, else `~/.config/dfly/dfdaemon.toml` or `/etc/dfly/dfdaemon.toml` where there is one: TOML,\n"
        "one key a flag, without its dashes; a flag that may be given often is a list. The command line counts first, then the\n"
        "environment, then the file, then the default. A key that is no flag is an error.\n"
    )
    known = sorted(
        (name.removeprefix("--"), parameter)
        for parameter in typer.main.get_command(app).params
        for name in parameter.opts
        if name.startswith("--") and name not in ("--config", "--version", "--install-completion", "--show-completion")
    )
    rows = [f"| `{key}` | {_kind(parameter)} | {_env(parameter)} |" for key, parameter in known]
    table = ["| key | value | environment |", "| --- | --- | --- |"]
    return "\n".join(["## Config file", "", intro, *table, *rows, ""])


def _kind(parameter: Any) -> str:
    if parameter.is_flag:
        return "true or false"
    return f"`{parameter.metavar or ''}`" + (", a list" if parameter.multiple else "")


def _env(parameter: Any) -> str:
    names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
    return ", ".join(f"`{name}`" for name in names)


def _exit_codes() -> str:
    rows = [f"| {code} | {what} |" for code, what in EXIT_CODES.items()]
    return "\n".join(["## Exit codes", "", "| code | |", "| --- | --- |", *rows, ""])


def _errors() -> str:
    intro = (
        "What `dfly.fetch` raises, and what the `type` of an `error` event names. Every error has a message that says what\n"
        "happened and a hint that says what to do next; the usual hint stands where none fits better.\n"
    )
    rows = [
        f"| {'&ensp;' * depth}`{kind.__name__}` | {kind.exit_code} | {_first_line(kind)} | {kind.usual_hint} |"
        for kind, depth in _tree(errors.DflyError)
    ]
    return "\n".join(
        ["## Errors", "", intro, "| error | exit code | | usual hint |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _events() -> str:
    intro = (
        "`dfget --json` writes one object per line on standard output, and `dfly.fetch(…, on_event=…)` is called with the\n"
        "same as `dfly.events` values. Each has `event`, its name, and `time`, in Unix seconds; the other fields:\n"
    )
    sections = []
    for kind, _ in _tree(Event):
        if kind is Event:
            continue
        rows = [f"| `{field.name}` | {_type(field.type)} |" for field in attrs.fields(kind)]
        sections += [f"### {kind.name}", "", _text(inspect.getdoc(kind) or ""), "", "| field | type |", "| --- | --- |"]
        sections += [*rows, ""]
    sources = ", ".join(f"`{source}`" for source in SOURCES)
    return "\n".join(["## Events", "", intro, f"Sources of bytes are {sources}.", "", *sections])


def _settings() -> str:
    intro = "What `dfly.fetch` takes besides flags, from `dfly.config`. Sizes are in bytes, times in seconds.\n"
    sections = []
    for kind in (Network, Patience, Fetch):
        rows = [f"| `{field.name}` | `{field.default!r}` |" for field in attrs.fields(kind)]
        sections += [f"### {kind.__name__}", "", _text(inspect.getdoc(kind) or ""), ""]
        sections += ["| setting | default |", "| --- | --- |", *rows, ""]
    return "\n".join(["## Settings", "", intro, *sections])


def _tree(kind: type[Any], depth: int = 0) -> Iterator[tuple[type[Any], int]]:
    yield kind, depth
    for child in kind.__subclasses__():
        # not what is a module's own business
        if child.__module__ in (errors.__name__, events.__name__, output.__name__):
            yield from _tree(child, depth + 1)


def _first_line(kind: type[Any]) -> str:
    return _text((inspect.getdoc(kind) or "").split("\n\n")[0])


def _type(kind: Any) -> str:
    known = {
        "str": "text",
        "int": "integer",
        "float": "number",
        "bool": "true or false",
        "dict[str, int]": "name to integer",
    }
    name = kind.__name__ if isinstance(kind, type) and not getattr(kind, "__args__", ()) else str(kind)
    plain = name.removesuffix(" | None")
    return known.get(plain, plain) + (" or null" if plain != name else "")


def _text(text: str) -> str:
    return _LINE_BREAKS.sub(" ", text).replace("|", "\\|").strip()


if __name__ == "__main__":
    main()
