"""Asks the seed peers about the plugins that this node has not. Nothing is kept: each task asks again."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import httpx

from dfly.backend import Secret
from dfly.config import Joining
from dfly.errors import SwarmError, UnknownScheme, plugin_of
from dfly.plugins import Plugins
from dfly.plugins.hearsay import HearsayBackend, told_backends

if TYPE_CHECKING:
    from dfly.node.control import SeedPeer


def acquainted(plugins: Plugins, urls: Iterable[str], joining: Joining, *, client: httpx.Client) -> Plugins:
    """`plugins` and, for the schemes of `urls` that they lack, backends by hearsay; just `plugins` where nothing is lacking.

    Raises UnknownScheme where no seed peer has the plugin either, SwarmError where none answers, UsageError as `SeedPeer`.
    """
    schemes = {url.partition("://")[0].lower() for url in urls if "://" in url}
    missing = schemes.difference(plugins.schemes())
    if not missing or not joining.seed_peers:
        return plugins
    from dfly.wire import WireError  # most tasks talk to nobody who speaks so

    found: dict[str, type[HearsayBackend]] = {}
    last: SwarmError | WireError | None = None
    for peer in _seed_peers(joining, client):
        try:
            told = told_backends(peer.plugins(), taken=_taken(plugins), private=peer.private)
        except (SwarmError, WireError) as error:
            last = error
            continue
        found |= {scheme: told[scheme] for scheme in missing & told.keys() if scheme not in found}
        if missing <= found.keys():
            break
    for scheme in sorted(missing - found.keys()):
        install = f"pip install {plugin_of(scheme)}"
        if last is not None:
            raise SwarmError(f"no plugin for {scheme}:// is installed, and {last.message}", hint=install)
        raise UnknownScheme(scheme, plugins.schemes(), hint=f"{install} here, or where the seed peer is")
    return plugins.also(found.values())


def told_of(plugins: Plugins, joining: Joining, *, client: httpx.Client) -> Plugins:
    """`plugins`, and all others that the first seed peer to answer has; for a page of help, so that nothing is an error."""
    for peer in _seed_peers(joining, client):
        try:
            return plugins.also(told_backends(peer.plugins(), taken=_taken(plugins), private=peer.private).values())
        except Exception:  # noqa: BLE001, S112 - help is shown whatever a seed peer does
            continue
    return plugins


def _seed_peers(joining: Joining, client: httpx.Client) -> "list[SeedPeer]":
    from dfly.node.control import SeedPeer

    token = Secret(joining.cluster_token) if joining.cluster_token else None
    urls = [url.rstrip("/") for url in joining.seed_peers]
    return [SeedPeer(url=url, client=client, cluster_token=token, insecure=joining.insecure) for url in urls]


def _taken(plugins: Plugins) -> Collection[str]:
    """Schemes and prefixes that have a plugin here; of one that cannot be loaded the scheme alone."""
    return {*plugins.schemes(), *(backend.prefix for backend in plugins.load_all().values() if backend.prefix)}
