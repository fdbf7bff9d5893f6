"""`dfctl plugins`: what is installed, what each plugin's flags are, and why one cannot be used.

Here, or at a seed peer: nodes fetch with its plugins, and need none of their own.
"""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from dfly.backend import Backend, option_fields
from dfly.cli.desk import CaFile, TokenFile, at_desk
from dfly.cli.flags import seed_peer_flag
from dfly.cli.units import printable
from dfly.plugins import Plugins

Json = Annotated[bool, typer.Option("--json", help="As one JSON object on standard output.")]
SeedPeer = Annotated[
    str | None,
    seed_peer_flag("Those of this seed peer; without it, those of this machine."),
]


def command(plugins: Plugins) -> Callable[..., int]:
    """The subcommand over `plugins`."""

    def show(
        seed_peer: SeedPeer = None,
        token_file: TokenFile = None,
        ca_file: CaFile = None,
        json_: Json = False,  # noqa: FBT002 - typer calls it by name
    ) -> int:
        """Show the installed plugins, their flags, and what is wrong with the broken ones."""
        if seed_peer is None:
            found = inventory(plugins)
        else:
            with at_desk(seed_peer, token_file, ca_file) as desk:
                found = told(desk.plugins())
        typer.echo(json.dumps(found, indent=2) if json_ else _table(found))
        return 0

    return show


def inventory(plugins: Plugins) -> dict[str, list[dict[str, Any]]]:
    """`plugins`: scheme, distribution, version, flags; `broken`: scheme, distribution, reason."""
    usable = plugins.load_all()
    claims = {claim.scheme: claim for claim in plugins.found()}
    listed = []
    for scheme, backend in sorted(usable.items()):
        claim = claims.get(scheme)
        listed.append(
            {
                "scheme": scheme,
                "distribution": claim.distribution if claim else "",
                "version": claim.version if claim else "",
                "flags": _flags(backend),
            }
        )
    broken = [{"scheme": b.scheme, "distribution": b.distribution, "reason": b.reason} for b in plugins.broken()]
    return {"plugins": listed, "broken": broken}


def told(said: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The same of what a seed peer says of its plugins; of broken ones it says nothing."""
    rows = [
        {
            "scheme": scheme,
            "distribution": plugin["distribution"],
            "version": plugin["version"],
            "flags": [
                {
                    "flags": [option["flag"], *option["flags"]],
                    **{name: option[name] for name in ("env", "help", "secret")},
                }
                for option in plugin["options"]
            ],
        }
        for plugin in said["plugins"]
        for scheme in plugin["schemes"]
    ]
    return {"plugins": sorted(rows, key=lambda row: str(row["scheme"])), "broken": []}


def _flags(backend: type[Backend]) -> list[dict[str, Any]]:
    return [
        {"flags": [field.flag, *field.flags], "env": list(field.env), "help": field.help, "secret": field.secret}
        for field in option_fields(backend)
    ]


def _table(found: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for plugin in found["plugins"]:
        source = f"{plugin['distribution']} {plugin['version']}".strip() or "built in"
        lines.append(f"{plugin['scheme'] + '://':<14} {source}")
        lines += [
            f"  {', '.join(flag['flags']):<28} {flag['help']} (env: {', '.join(flag['env'])})"
            for flag in plugin["flags"]
        ]
    lines += [f"{b['scheme'] + '://':<14} {b['distribution']} cannot be used: {b['reason']}" for b in found["broken"]]
    return printable("\n".join(lines)) or "no plugin is installed; pip install dfly-plugin-…"
