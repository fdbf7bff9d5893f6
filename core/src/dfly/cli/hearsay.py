"""Flags of plugins that this machine has not: a seed peer tells of them, before the command line can be parsed.

Only where a URL's scheme has no plugin here (or help is asked for) and a seed peer is given. What the command line says of seed
peers and of the way to them is read in a first pass, in which flags that nobody knows yet are passed over.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_origin

import typer

from dfly.cli.options import declared_flags, source_urls
from dfly.config import Joining, Network, Patience
from dfly.plugins import Plugins

VARIABLE = "DFLY_SEED_PEERS"


def with_hearsay(argv: Sequence[str], plugins: Plugins, command: Callable[..., Any], *, help_page: bool) -> Plugins:
    """`plugins`, and by hearsay what the command line needs besides, of `command`'s flags. Raises as `acquainted`."""
    if not os.environ.get(VARIABLE) and not any(word.startswith("--seed-peer") for word in argv):
        return plugins
    urls = source_urls(argv, declared_flags(command, switches_only=True))
    if not help_page and {url.partition("://")[0].lower() for url in urls} <= set(plugins.schemes()):
        return plugins
    # brings httpx along
    from dfly.node.hearsay import acquainted, told_of
    from dfly.origin.client import open_clients
    from dfly.origin.pauses import Pauses

    said = first_pass(argv, command)
    joining = Joining(
        seed_peers=tuple(said["seed_peer"]),
        cluster_token=said["cluster_token"],
        interface=said["interface"],
        insecure=said["insecure"],
    )
    ca_file, cert, key = (None if said[name] is None else str(said[name]) for name in ("ca_file", "cert", "key"))
    network = Network(ca_file=ca_file, cert=cert, key=key, proxy=said["proxy"] or None)
    interface = joining.interface
    with open_clients(network, patience=Patience(), pauses=Pauses(), interface=interface, direct=True) as clients:
        if help_page:
            return told_of(plugins, joining, client=clients.data)
        return acquainted(plugins, urls, joining, client=clients.data)


def first_pass(argv: Sequence[str], command: Callable[..., Any]) -> dict[str, Any]:
    """The values of `command`'s flags on a command line that has others as well."""
    said: dict[str, Any] = {}

    def remember(**values: Any) -> None:
        said.update(values)

    signature = inspect.signature(command, eval_str=True)
    flags = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in signature.parameters.values()
        # what has no default is an argument: those are passed over like the flags that nobody knows
        if get_origin(p.annotation) is Annotated and p.default is not inspect.Parameter.empty
    ]
    remember.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
    remember.__annotations__ = {p.name: p.annotation for p in flags}
    app = typer.Typer(add_completion=False)
    leniently = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app.command(context_settings=leniently)(remember)
    app(args=list(argv), standalone_mode=False)
    return said
