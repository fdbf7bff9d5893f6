"""`dfctl config`: the settings that a daemon or a seed peer really runs with."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from dfly.cli.columns import table
from dfly.cli.desk import CaFile, Json, SeedPeerUrl, TokenFile, at_desk, written


def config(
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - typer calls it by name
) -> int:
    """Show every setting in force. Of secrets it is said whether they are set."""
    with at_desk(seed_peer, token_file, ca_file) as desk:
        found = desk.get("config")
    sys.stdout.write(written(found) if json else table(("SETTING", "VALUE"), _lines(found["settings"])))
    return 0


def _lines(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{name}.")
        elif isinstance(value, list) and list(map(type, value)) == [str, int]:
            yield prefix + name, _address(*value)
        elif isinstance(value, list):
            yield prefix + name, " ".join(map(str, value)) or "none"
        elif isinstance(value, bool):
            yield prefix + name, "yes" if value else "no"
        else:
            yield prefix + name, "-" if value in (None, "") else str(value)


def _address(host: str, port: int) -> str:
    """As --listen takes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
