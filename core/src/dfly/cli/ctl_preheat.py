"""`dfctl preheat URL…`: have a seed peer fetch sources, and its nodes take them, before anyone asks; wait, and say what each has.

What is asked for is what a later dfget asks for, with the same options: so it means the same files under the same ids. Of several
seed peers each source goes to the one that a later dfget asks first: so the hub sends it once. Secrets go to it and no further.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from dfly.backend import build_options
from dfly.cli import flags
from dfly.cli.desk import CaFile, Json, NoAnswer, TokenFile, at_desks, kind_of
from dfly.cli.hearsay import first_pass
from dfly.cli.options import (
    Options,
    PluginFlags,
    declared_flags,
    needed_backends,
    source_urls,
    with_plugin_flags,
)
from dfly.cli.preheat_view import View, report_text
from dfly.cli.streams import say
from dfly.cli.units import printable
from dfly.config import Joining, is_set
from dfly.errors import Cancelled, DflyError, SwarmError, UsageError
from dfly.plugins import Plugins
from dfly.values import bare_url
from dfly.wire import Ask
from dfly.wire.errands import DONE, Choice, Preheat

if TYPE_CHECKING:
    from dfly.cli.desk import Desk

#: Seconds without a sign of life from the seed peer.
_SILENCE = 30.0

SeedPeers = Annotated[
    list[str],
    flags.seed_peer_flag(
        "The seed peer that is to have it, and that nodes stand by at. Repeatable: of several, each source goes to the "
        "one that nodes ask first for it, or if that does not answer to the next.",
    ),
]
Nodes = Annotated[
    Any,
    typer.Option(
        "--nodes",
        metavar="WHICH",
        parser=flags.checked(Choice.parse),
        help="Have node daemons fetch it too: all that stand by at the seed peer; a number of them, each time the same; or "
        "those at location=ZONE/RACK. Sources that open only to a secret stay on the seed peer.",
    ),
]
Pin = Annotated[bool, typer.Option("--pin", help="Keep it there, whatever else needs room.")]


def command(plugins: Plugins, argv: Sequence[str]) -> Callable[..., int]:
    """The subcommand over `plugins`, with the flags that the URLs in `argv` bring along."""
    backends = []
    if argv[:1] == ["preheat"]:
        helps = not {"--help", "-h"}.isdisjoint(argv)
        switches = declared_flags(preheat, switches_only=True)
        plugins = _acquainted(argv[1:], plugins, switches)
        backends = needed_backends(argv[1:], plugins, switches=switches, everything=helps)
    flags_of_plugins = PluginFlags.of(backends, taken=declared_flags(preheat))
    extended = with_plugin_flags(partial(preheat, plugins=plugins), flags_of_plugins)
    extended.__doc__ = preheat.__doc__
    return extended


def _acquainted(argv: Sequence[str], plugins: Plugins, switches: set[str]) -> Plugins:
    """`plugins` and, for what they lack, what the seed peer tells of its own. Raises as `dfly.node.hearsay.acquainted`."""
    urls = source_urls(argv, switches)
    if {url.partition("://")[0].lower() for url in urls} <= set(plugins.schemes()):
        return plugins
    said = first_pass(argv, preheat)
    if not said["seed_peer"]:
        return plugins
    from dfly.node.hearsay import acquainted

    with at_desks(said["seed_peer"], said["operator_token_file"], said["ca_file"]) as desks:
        return acquainted(plugins, urls, Joining(seed_peers=tuple(said["seed_peer"])), client=desks[0].client)


def preheat(
    urls: flags.Urls,
    seed_peer: SeedPeers = [],  # noqa: B006 - typer hands out a list of its own
    recursive: flags.Recursive = False,  # noqa: FBT002 - typer calls it by name
    include: flags.Include = [],  # noqa: B006 - as seed_peer
    exclude: flags.Exclude = [],  # noqa: B006 - as seed_peer
    nodes: Nodes = None,
    pin: Pin = False,  # noqa: FBT002 - as recursive
    timeout: flags.Timeout = None,
    operator_token_file: TokenFile = None,
    ca_file: CaFile = None,
    json_: Json = False,  # noqa: FBT002 - as recursive
    debug: flags.Debug = False,  # noqa: ARG001, FBT002 - read by dfctl itself
    *,
    options: Options,
    plugins: Plugins,
) -> int:
    """Fetch sources before anyone asks: to a seed peer, and with --nodes to its nodes. Fails unless everything is there."""
    if not seed_peer:
        raise UsageError("preheat needs a seed peer", hint="say which with --seed-peer URL")
    if not recursive and (include or exclude):
        raise UsageError("--include and --exclude choose among many files", hint="add -r")
    orders = [
        _Order(
            preheat=Preheat(
                ask=Ask(url=url, recursive=recursive, include=tuple(include), exclude=tuple(exclude)),
                nodes=nodes,
                pin=pin,
                timeout=timeout,
            ),
            headers=_headers(url, options, plugins, seed_peer),
        )
        for url in dict.fromkeys(urls)
    ]
    with at_desks(tuple(dict.fromkeys(seed_peer)), operator_token_file, ca_file) as desks:
        try:
            begun = [order.begin(desks) for order in orders]
            found = [order.follow(*begin) for order, begin in zip(orders, begun, strict=True)]
        except KeyboardInterrupt:
            raise Cancelled("cancelled; what the seed peer and its nodes have begun goes on") from None
        several = len(desks) > 1
    sys.stdout.write(_as_json(found) if json_ else report_text((f for f in found if f["source"]), say_where=several))
    _raise_first(found)
    return 0


@attrs.frozen(kw_only=True)
class _Order:
    """One source to preheat; `headers` are the options that go along."""

    preheat: Preheat
    headers: list[tuple[str, str]] = attrs.field(repr=False)

    @property
    def url(self) -> str:
        return bare_url(self.preheat.ask.url)

    def begin(self, desks: Sequence["Desk"]) -> "tuple[Desk, Any]":
        """Whom nodes ask first for it, of those that answer; and the job that it is there, or why it is none."""
        from dfly.node.control import in_order

        order = in_order([desk.url for desk in desks], self.preheat.ask.url.partition("@")[0])
        *others, last = sorted(desks, key=lambda desk: order.index(desk.url))
        for desk in others:
            job = self._post(desk)
            if not isinstance(job, NoAnswer):
                return desk, job
            say(sys.stderr, printable(f"dfctl: {self.url}: {job.message}; asking the next\n"))
        return last, self._post(last)

    def _post(self, desk: "Desk") -> Any:
        try:
            with desk.stream("POST", "preheat", content=self.preheat.encode(), headers=self.headers) as answer:
                return json.loads(answer.read())
        except DflyError as error:
            return error

    def follow(self, desk: "Desk", job: Any) -> dict[str, Any]:
        """Wait for the end, and tell of it."""
        found: dict[str, Any] = {"url": self.url, "source": "", "files": 0, "ok": False, "seed_peer": None, "nodes": []}
        found["at"] = bare_url(desk.url)
        if isinstance(job, DflyError):
            return found | {"error": _told(job)}
        found |= {"source": job["source"], "files": job["files"], "error": None}
        nodes: dict[str, Any] = {}
        view = View.on_stderr(self.url)
        try:
            for row in self._lines(desk, job["id"]):
                kind = row.pop("t")
                if kind == "node":
                    nodes[row["node"]] = row
                elif kind == "seed_peer":
                    found["seed_peer"] = row
                if kind in ("node", "seed_peer"):
                    view(row)
        except DflyError as error:
            found["error"] = _told(error)
        finally:
            view.end()
        found["nodes"] = [nodes[node] for node in job["nodes"] if node in nodes]
        rows = [found["seed_peer"], *found["nodes"]]
        found["ok"] = found["error"] is None and all(row is not None and row["state"] == DONE for row in rows)
        return found

    def _lines(self, desk: "Desk", job: str) -> Any:
        """The rows until it is over. Raises SwarmError where the seed peer goes away before that."""
        import httpx

        with contextlib.suppress(NoAnswer):  # it took the order: whatever it does not answer now, it was there
            for line in desk.lines("GET", f"preheat/{job}", timeout=httpx.Timeout(10.0, read=_SILENCE)):
                if line["t"] == "over":
                    return
                yield line
        hint = "run it again: what is there by then is not fetched twice"
        raise SwarmError(f"{desk.what} went away in the middle", hint=hint)


def _headers(url: str, options: Options, plugins: Plugins, seed_peers: Sequence[str]) -> list[tuple[str, str]]:
    """The options for one source, as dfget would send them. Raises UsageError where a secret could be read on the way."""
    from dfly.node.control import is_private
    from dfly.node.travelling import option_headers, secret_options, travelling

    backend_class = plugins.backend_for(url)
    given = options.get(backend_class.prefix or backend_class.schemes[0], {})
    told = travelling(backend_class, build_options(backend_class, given))
    in_the_clear = [] if is_set(os.environ, "DFLY_INSECURE") else [peer for peer in seed_peers if not is_private(peer)]
    if in_the_clear and not secret_options(backend_class).isdisjoint(told):
        raise UsageError(
            f"the seed peer {bare_url(in_the_clear[0])} is reached over plain HTTP: tokens would be readable on the way",
            hint="use https:// (and --ca-file), or set DFLY_INSECURE=1 if the network is trusted",
        )
    return list(option_headers(told))


def _told(error: DflyError) -> dict[str, str]:
    return {"type": kind_of(error), "message": error.message, "hint": error.hint}


def _as_json(found: list[dict[str, Any]]) -> str:
    return json.dumps({"ok": all(one["ok"] for one in found), "preheats": found}) + "\n"


def _raise_first(found: list[dict[str, Any]]) -> None:
    """Say what failed, all of it; the exit code is that of the first."""
    from dfly.node.revival import revive

    wrong: list[tuple[str, dict[str, Any]]] = []
    for one in found:
        rows = [("the seed peer", one["seed_peer"]), *((row["node"], row) for row in one["nodes"])]
        errors = [(who, row["error"]) for who, row in rows if row is not None and row["error"] is not None]
        if one["error"] is not None:
            errors.insert(0, ("", one["error"]))
        wrong += [(f"{one['url']}{f', {who}' if who else ''}", error) for who, error in errors]
    if not wrong:
        return
    first = wrong[0][1]
    if len(found) == 1 and not found[0]["source"]:
        raise revive(first["type"], first["message"], first["hint"], {})
    lines = [f"  {where}: {error['message']}{_paths(error)}" for where, error in wrong]
    raise revive(first["type"], "not everything is preheated:\n" + "\n".join(lines), first["hint"], {})


def _paths(error: dict[str, Any]) -> str:
    paths = error.get("paths") or []
    more = f" and {len(paths) - 5:,} more" if len(paths) > 5 else ""
    return f" ({', '.join(paths[:5])}{more})" if paths else ""
