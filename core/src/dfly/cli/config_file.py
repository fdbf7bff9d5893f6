"""Settings of a long-lived process from a TOML file: one key a flag, without its dashes.

    cache-size = "500G"
    join = ["https://seed:65001"]

What is on the command line counts first, then the environment, then the file, then the default: the parser's own order once it
is given the file's values as defaults.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dfly.errors import UsageError

SYSTEM = "/etc/dfly/dfdaemon.toml"


def _load(context: typer.Context, path: Path | None) -> Path | None:
    found = path or _usual()
    if found is None or context.resilient_parsing:
        return path
    context.default_map = {**(context.default_map or {}), **read(found, known=_names(context))}
    return found


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_load,
        is_eager=True,
        envvar="DFLY_CONFIG",
        help="TOML file with any of these flags, without their dashes: cache-size = '500G'. "
        f"Else ~/.config/dfly/dfdaemon.toml or {SYSTEM}, where there is one.",
        exists=True,
        dir_okay=False,
        readable=True,
    ),
]


def read(path: Path, *, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a file by parameter's name; `known` maps a key to its parameter. Raises UsageError, naming the file."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from error
    keys = {key.replace("_", "-"): value for key, value in said.items()}
    unknown = sorted(keys.keys() - known.keys())
    if unknown:
        raise UsageError(
            f"{path} sets what there is no flag for: {', '.join(unknown)}",
            hint="write the flags of dfdaemon --help without their dashes",
        )
    return {str(known[key].name): _value(value, known[key], where=f"{path}: {key}") for key, value in keys.items()}


def _value(value: Any, parameter: Any, *, where: str) -> Any:
    """As the command line would say it: the parsers of the flags read text, also where the file has a number."""
    if parameter.is_flag and isinstance(value, bool):
        return value
    if parameter.multiple:
        return [_text(each, where) for each in (value if isinstance(value, list) else [value])]
    return _text(value, where, asked="true or false" if parameter.is_flag else "one value, text or a number")


def _text(value: Any, where: str, *, asked: str = "text or a number, or a list of such") -> str:
    if isinstance(value, bool | list | dict):
        raise UsageError(f"{where} takes {asked}", hint="each flag's own help says what it takes: dfdaemon --help")
    return str(value)


def _names(context: typer.Context) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    for parameter in context.command.params:
        for flag in parameter.opts:
            if flag.startswith("--") and flag not in ("--config", "--version", "--help"):
                flags[flag.removeprefix("--")] = parameter
    return flags


def _usual() -> Path | None:
    own = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    for place in (Path(own, "dfly", "dfdaemon.toml"), Path(SYSTEM)):
        if place.is_file():
            return place
    return None
