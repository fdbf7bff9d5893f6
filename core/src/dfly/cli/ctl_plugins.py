"""`dfctl plugins`: what is installed, what each plugin's flags are, and why one cannot be used."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from dfly.backend import Backend, option_fields
from dfly.cli.units import printable
from dfly.plugins import Plugins

Json = Annotated[bool, typer.Option("--json", help="As one JSON object on standard output.")]


def command(plugins: Plugins) -> Callable[..., int]:
    """The subcommand over `plugins`."""

    def show(json_: Json = False) -> int:  # noqa: FBT002 - typer calls it by name
        """Show the installed plugins, their flags, and what is wrong with the broken ones."""
        found = inventory(plugins)
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
