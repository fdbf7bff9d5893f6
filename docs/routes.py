"""The HTTP API of seed peer and node daemon, from the routers that the running processes have: `http-api.md`, and as OpenAPI.

Both are started here for a moment, on loopback, so that nothing is missing that they really answer. What a route does is what
its handler's docstring says; where that only repeats the path, it is in `SAID`.
"""

import functools
import inspect
import json
import logging
import re
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
from aiohttp import web

from dfly.config import Joining
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.seed.faces import OPEN, OPERATOR, WATCHED
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.version import VERSION

#: Routes whose docstring is no more than their path.
SAID = {
    "POST /v1/snapshots": "What a source URL means now: the pinned snapshot, and the task in which its nodes meet.",
    "GET /v1/snapshots/{task}/events": "Join a task: its event stream, one JSON object per line, until the node leaves.",
    "POST /v1/snapshots/{task}/report": "What a node has, lacks and complains of; the answer names further peers.",
    "POST /v1/snapshots/{task}/have": "Carry over segments that an earlier seed peer published and this node holds.",
    "GET /v1/snapshots/{task}/hashes/{blob}": "20 bytes (SHA-1) a piece of a complete blob, then 16 bytes (MAC) a segment.",
    "GET /v1/blobs/{grant}/{blob}": "The web seed: one range of published bytes; the grant in the path opens it.",
    "GET /v1/plugins": "The plugins here and the options of each, for nodes that do not have them.",
    "GET /v1/stats": "Bytes taken from hubs and sent to nodes, and the tasks that are open.",
    "GET /v1/status": "Version, process id, seconds up, blobs and bytes kept, the limit, and rings.",
    "GET /v1/errands": "Stand by: the errands that this node is sent on, one JSON object per line.",
    "POST /v1/errands/{id}/report": "How far an errand is.",
    "POST /v1/operator/preheat": "Fetch a source here, or have nodes fetch it; the answer names the order.",
    "GET /v1/operator/preheat/{id}": "How far an order is, one JSON object per line, until it is done.",
    "GET /v1/operator/snapshots": "The snapshots that are remembered.",
    "POST /v1/operator/pins": "Keep a snapshot whatever else needs room, or no longer.",
    "POST /v1/operator/remove": "Forget a snapshot, and give up the blobs that nothing else needs.",
    "POST /v1/operator/verify": "Read blobs and hold them against their digests.",
    "GET /v1/operator/status": "What is kept and under way.",
    "GET /v1/operator/peers": "The nodes of each ring.",
    "GET /v1/operator/config": "The settings in effect, without secrets.",
    "GET /v1/operator/export": "Snapshots that are complete here, as one archive; `snapshot` in the query, once for each.",
    "POST /v1/operator/import": "Take in such an archive: it is the body.",
    "GET /v1/operator/standing": "The nodes that stand by for errands.",
    "GET /v1/operator/torrents": "The torrents of a snapshot; `url` in the query is a source URL or a snapshot's id.",
    "GET /announce/{pass}": "The tracker, for stock BitTorrent clients: always 200, refusals in the answer's own words.",
    "GET /v1/files/{pass}/{name}": "A blob's bytes for stock BitTorrent clients; the pass in the path opens it.",
    "GET /metrics": "Metrics in Prometheus' text format; see metrics.md.",
    "GET /ui": "The status page, for browsers.",
    "GET /ui/events": "What changes on the status page, as server-sent events.",
    "GET /ui/state": "What the status page shows, as JSON.",
    "* /{prefix}/_dfly": "Whether this is a daemon's facade, and of which hub.",
    "* /{prefix}/{rest}": "The hub's own API, answered from cache and swarm; `prefix` is its plugin's scheme.",
}

_FACADE = re.compile(r"/[a-z0-9+.-]+(/_dfly|/\{rest\})")
_ITS_PATH = re.compile(r"^(?:GET|POST|PUT|DELETE)(?: and HEAD)? ?(?:\S*/\S*|[a-z]+)?(?:, [^:.]*)?[:.]?\s*")

_HEAD = """# HTTP API

Written by `make docs` from the routers of the running processes; do not edit. The same as OpenAPI:
[seed peer](openapi/seed-peer.json), [node daemon](openapi/node.json). Bodies are those of `dfly.wire`; errors are JSON objects
with `error` (a class of the [reference](reference.md)), `message` and `hint`.
"""
_WHO = {
    "operator": "operators: the operator token (else the cluster token, else this machine) at a seed peer; at a daemon root "
    "and its own user, on its socket",
    "anybody": "anybody who reaches it",
    "node": "with the cluster token, if there is one; at a daemon anybody on the machine",
    "path": "whoever has the pass in the path",
    "watcher": "this machine, others with the cluster token; at a daemon whoever reaches it",
}


@attrs.frozen(order=True)
class Route:
    """One method of a path; `summary` is a sentence or empty, `who` a key of `_WHO`."""

    path: str
    method: str
    summary: str
    who: str

    @property
    def key(self) -> str:
        """As in `SAID`."""
        return f"{self.method} {self.path}"


def seed_peer() -> tuple[Route, ...]:
    """What a seed peer answers."""
    with tempfile.TemporaryDirectory() as folder:
        config = SeedPeerConfig(data_dir=folder, listen=("127.0.0.1", 0))
        return _routes(lambda: SeedPeer(config).running())


def node() -> tuple[Route, ...]:
    """What a node daemon answers."""
    with tempfile.TemporaryDirectory() as folder:
        joining = Joining(interface="127.0.0.1")
        config = NodeConfig(data_dir=f"{folder}/data", socket=f"{folder}/s", listen=("127.0.0.1", 0), joining=joining)
        return _routes(lambda: NodeDaemon(config).running())


def page(roles: dict[str, tuple[Route, ...]]) -> str:
    """`http-api.md`."""
    parts = [_HEAD]
    for role, routes in roles.items():
        rows = [f"| `{route.key}` | {route.summary} | {route.who} |" for route in routes]
        parts += [f"## {role}", "", "| route | | who may ask |", "| --- | --- | --- |", *rows, ""]
    parts += ["## Who may ask", "", *(f"- **{who}**: {told}." for who, told in _WHO.items()), ""]
    return "\n".join(parts)


def openapi(role: str, routes: tuple[Route, ...]) -> str:
    """OpenAPI 3.1, as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        methods = ("get", "head", "post") if route.method == "*" else (route.method.lower(),)
        for method in methods:
            paths.setdefault(route.path, {})[method] = _operation(route, method)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": f"dfly {role}",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error", "message"],
                    "properties": {name: {"type": "string"} for name in ("error", "message", "hint")},
                }
            },
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _operation(route: Route, method: str) -> dict[str, Any]:
    named = re.findall(r"\{(\w+)\}", route.path)
    words = re.findall(r"\w+", route.path)
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    found: dict[str, Any] = {
        "operationId": "_".join([method, *words]),
        "summary": route.summary,
        "responses": {"2XX": {"description": "Done."}, "default": {"description": "An error.", "content": error}},
    }
    if named:
        found["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in named
        ]
    if route.who in ("operator", "node", "watcher"):
        found["security"] = [{"token": []}, {}]
    return found


def _routes(running: Any) -> tuple[Route, ...]:
    """The routes of the application that answers most, of a process that is up for a moment."""
    apps: list[web.Application] = []
    begin = web.AppRunner.__init__

    def recording(self: web.AppRunner, app: web.Application, **how: Any) -> None:
        apps.append(app)
        begin(self, app, **how)

    logging.disable(logging.CRITICAL)
    try:
        with mock.patch.object(web.AppRunner, "__init__", recording), running():
            found = {_route(each) for app in apps for each in app.router.routes() if each.method != "HEAD"}
    finally:
        logging.disable(logging.NOTSET)
    return tuple(sorted(found))


def _route(each: web.AbstractRoute) -> Route:
    assert each.resource is not None
    path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", each.resource.canonical)
    facade = _FACADE.fullmatch(path)
    path = f"/{{prefix}}{facade[1]}" if facade else path
    handler = each.handler.func if isinstance(each.handler, functools.partial) else each.handler
    told = _ITS_PATH.sub("", " ".join((inspect.getdoc(handler) or "").split()))
    key = f"{each.method} {path}"
    summary = SAID.get(key) or told[:1].upper() + told[1:]
    return Route(path, each.method, summary.replace("|", "\\|"), _who(path))


def _who(path: str) -> str:
    if path.startswith(OPERATOR):
        return "operator"
    if path.startswith((*OPEN, "/v1/blobs/")):
        return "path"
    if path.startswith(WATCHED):
        return "watcher"
    return "anybody" if path in ("/healthz", "/readyz") else "node"


def written() -> dict[str, str]:
    """The files below docs/, by name."""
    roles = {"Seed peer": seed_peer(), "Node daemon": node()}
    return {
        "http-api.md": page(roles),
        "openapi/seed-peer.json": openapi("seed peer", roles["Seed peer"]),
        "openapi/node.json": openapi("node daemon", roles["Node daemon"]),
    }


def main(folder: Path = Path(__file__).parent) -> None:
    """Write them."""
    for name, text in written().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
