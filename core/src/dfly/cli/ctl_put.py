"""`dfctl put PATH URL`: store one local file at an origin that can be written to, and say what is there then."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dfly.backend import build_options
from dfly.cli import flags
from dfly.cli.options import Options, PluginFlags, declared_flags, needed_backends, with_plugin_flags
from dfly.cli.units import printable, size_text
from dfly.config import Network, Patience
from dfly.errors import AccessDenied, IntegrityError, OutputError
from dfly.plugins import Plugins
from dfly.values import Entry, bare_url

Source = Annotated[Path, typer.Argument(metavar="PATH", help="The local file.", show_default=False)]
Url = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="Where to, scheme://…; with a trailing / under the file's own name.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="As one JSON object on standard output.")]


def command(plugins: Plugins, argv: Sequence[str]) -> Callable[..., int]:
    """The subcommand over `plugins`, with the flags that the URLs in `argv` bring along."""
    declared = declared_flags(put)
    backends = []
    if argv[:1] == ["put"]:
        helps = not {"--help", "-h"}.isdisjoint(argv)
        switches = declared_flags(put, switches_only=True)
        backends = needed_backends(argv[1:], plugins, switches=switches, everything=helps)
    extended = with_plugin_flags(partial(put, plugins=plugins), PluginFlags.of(backends, taken=declared))
    extended.__doc__ = put.__doc__
    return extended


def put(
    path: Source,
    url: Url,
    ca_file: flags.CaFile = None,
    cert: flags.Cert = None,
    key: flags.Key = None,
    proxy: flags.Proxy = None,
    json_: Json = False,  # noqa: FBT002 - typer calls it by name
    debug: flags.Debug = False,  # noqa: ARG001, FBT002 - read by dfctl itself
    *,
    options: Options,
    plugins: Plugins,
) -> int:
    """Store one local file at an origin, checked there, and print what it is called and holds."""
    network = Network(ca_file=_text(ca_file), cert=_text(cert), key=_text(key), proxy=proxy or None)
    target = url + path.name if url.endswith("/") else url
    size = _size(path)
    stored = _store(path, target, options=options, network=network, plugins=plugins)
    if stored is not None and stored.size not in (size, None):
        raise IntegrityError(stored.path, algorithm="size", expected=str(size), actual=str(stored.size))
    sys.stdout.write(_as_json(stored, target) if json_ else _as_text(stored, target))
    return 0


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder", hint="put stores one file at a time")
        return path.stat().st_size
    except OSError as error:
        raise OutputError.unreadable(error, str(path)) from error


def _store(path: Path, url: str, *, options: Options, network: Network, plugins: Plugins) -> Entry | None:
    """The file at `url`, as its origin describes it; None where it may be written but not read."""
    # brings httpx along, which no other subcommand needs
    from dfly.origin.backends import Backends

    backend_class = plugins.backend_for(url)
    given = options.get(backend_class.prefix or backend_class.schemes[0], {})
    with Backends(plugins, network=network, patience=Patience()) as backends:
        backend = backends.get(backend_class, build_options(backend_class, given))
        backend.put(path, url)
        try:
            return backend.stat(url)
        except AccessDenied:
            return None


def _as_text(stored: Entry | None, url: str) -> str:
    if stored is None:
        return printable(f"stored {bare_url(url)}\n")
    size = "" if stored.size is None else f"  {size_text(stored.size)}"
    digests = "".join(f"  {digest}" for digest in stored.digests)
    return printable(f"stored {stored.url}{size}{digests}\n")


def _as_json(stored: Entry | None, url: str) -> str:
    found: dict[str, Any] = {"url": bare_url(url), "size": None, "digests": [], "blob": None}
    if stored is not None:
        found = {
            "url": stored.url,
            "size": stored.size,
            "digests": [str(digest) for digest in stored.digests],
            "blob": stored.blob,
        }
    return json.dumps(found) + "\n"


def _text(path: Any) -> str | None:
    return None if path is None else os.fspath(path)
