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


def read(path: Path, *, known: Mapping[str, str]) -> dict[str, Any]:
    """The settings in a file by parameter; `known` maps a key to its parameter. Raises UsageError, naming the file."""
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
    return {known[key]: _value(value) for key, value in keys.items()}


def _value(value: Any) -> Any:
    """As the command line would say it: the parsers of the flags read text."""
    if isinstance(value, list):
        return [_value(each) for each in value]
    return value if isinstance(value, bool | int | str) else str(value)


def _names(context: typer.Context) -> dict[str, str]:
    flags: dict[str, str] = {}
    for parameter in context.command.params:
        for flag in parameter.opts:
            if flag.startswith("--") and flag not in ("--config", "--version", "--help"):
                flags[flag.removeprefix("--")] = str(parameter.name)
    return flags


def _usual() -> Path | None:
    own = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    for place in (Path(own, "dfly", "dfdaemon.toml"), Path(SYSTEM)):
        if place.is_file():
            return place
    return None
