"""Finds plugins by entry point and imports only the one that is asked for.

Nothing here is global: a `Plugins` is built at the top of a process and passed down; tests build their own.
"""

from __future__ import annotations

import copy
import importlib
import threading
from collections.abc import Iterable, Mapping
from importlib import metadata
from urllib.parse import urlsplit

import attrs
import pluggy

from dfly.backend import Backend
from dfly.errors import PluginError, UnknownScheme, UsageError
from dfly.facade import Facade
from dfly.plugins import hookspecs
from dfly.plugins.installed import HOSTS, SCHEMES, Claim, claims, installed


@attrs.frozen(order=True)
class Found:
    """One scheme and where its backend comes from."""

    scheme: str
    module: str
    distribution: str
    version: str


@attrs.frozen(order=True)
class Broken:
    """A plugin that is installed and cannot be used, and why."""

    scheme: str
    distribution: str
    reason: str


class Plugins:
    """The installed plugins. `extra` and `facades` register classes that no distribution brings (tests, notebooks)."""

    def __init__(
        self,
        *,
        extra: Iterable[type[Backend]] = (),
        facades: Iterable[type[Facade]] = (),
        entry_points: metadata.EntryPoints | None = None,
    ) -> None:
        found = installed() if entry_points is None else claims(entry_points)
        self._hooks = pluggy.PluginManager("dfly")
        self._hooks.add_hookspecs(hookspecs)
        self._lock = threading.RLock()
        self._broken: dict[str, Broken] = {}
        self._found = self._read_schemes(claim for claim in found if claim.group == SCHEMES)
        self._hosts = {claim.name: claim.module for claim in found if claim.group == HOSTS}
        self._extra = {scheme: backend for backend in extra for scheme in backend.schemes}
        self._by_module: dict[str, dict[str, type[Backend]]] = {}
        self._facades = {facade.prefix: facade for facade in facades}

    def _read_schemes(self, claimed: Iterable[Claim]) -> dict[str, Found]:
        found: dict[str, Found] = {}
        for claim in claimed:
            scheme, dist = claim.name, claim.distribution
            rival = found.get(scheme)
            if rival is None:
                found[scheme] = Found(scheme, claim.module, dist, claim.version)
            elif rival.distribution != dist:
                reason = f"{rival.distribution} already serves {scheme}://; uninstall one of the two"
                self._broken[f"{scheme}\0{dist}"] = Broken(scheme, dist, reason)
        return found

    def also(self, extra: Iterable[type[Backend]]) -> Plugins:
        """These, and the classes in `extra` for schemes that have no plugin; what is imported already is shared."""
        other = copy.copy(self)
        known = {scheme: backend for backend in extra for scheme in backend.schemes if scheme not in self._found}
        other._extra = known | self._extra
        return other

    def schemes(self) -> tuple[str, ...]:
        """All schemes that an installed plugin claims, without importing any."""
        return tuple(sorted({*self._found, *self._extra}))

    def found(self) -> tuple[Found, ...]:
        """All claims, sorted by scheme."""
        return tuple(sorted(self._found.values()))

    def broken(self) -> tuple[Broken, ...]:
        """What could not be used so far; `load_all` first for a complete answer."""
        return tuple(sorted(self._broken.values()))

    def load_all(self) -> Mapping[str, type[Backend]]:
        """Import every plugin; broken ones are left out and listed by `broken`."""
        usable: dict[str, type[Backend]] = {}
        for scheme in self.schemes():
            try:
                usable[scheme] = self.backend(scheme)
            except PluginError:
                continue
        return usable

    def prefixes(self) -> tuple[str, ...]:
        """Where facades may be mounted, without importing any plugin."""
        return tuple(sorted({*self._found, *self._facades}))

    def facade(self, prefix: str) -> type[Facade] | None:
        """The facade that is mounted at `prefix`, which is a scheme of its plugin; None where there is none.

        Raises PluginError where the plugin is broken.
        """
        if prefix in self._facades:
            return self._facades[prefix]
        claim = self._found.get(prefix)
        if claim is None or prefix in self._extra:
            return None
        self._class_from(claim)
        return self._facades.get(prefix)

    def backend(self, scheme: str) -> type[Backend]:
        """The class that serves `scheme`. Raises UnknownScheme, or PluginError where its plugin is broken."""
        scheme = scheme.lower()
        if scheme in self._extra:
            return self._extra[scheme]
        claim = self._found.get(scheme)
        if claim is None:
            raise UnknownScheme(scheme, self.schemes())
        return self._class_from(claim)

    def backend_for(self, url: str) -> type[Backend]:
        """The class that serves a source URL; a pasted web link of a known host goes to that hub's plugin.

        Raises UsageError where `url` has no scheme, else as `backend`.
        """
        scheme, sep, rest = url.partition("://")
        if not sep or not rest:
            raise UsageError(
                f"{url!r} is not a source URL",
                hint=f"write scheme://…, with one of: {', '.join(self.schemes()) or 'no plugin installed'}",
            )
        module = self._host_module(url) if scheme.lower() in ("http", "https") else None
        for claim in self._found.values() if module else ():
            if claim.module == module:
                return self._class_from(claim)
        return self.backend(scheme)

    def _host_module(self, url: str) -> str | None:
        try:
            return self._hosts.get((urlsplit(url).hostname or "").lower())
        except ValueError:
            return None

    def _class_from(self, claim: Found) -> type[Backend]:
        with self._lock:
            if claim.module not in self._by_module:
                try:
                    self._by_module[claim.module] = self._import(claim)
                except (Exception, SystemExit) as error:
                    reason = f"{type(error).__name__}: {error}"
                    self._broken[claim.scheme] = Broken(claim.scheme, claim.distribution, reason)
                    raise PluginError(
                        f"the plugin {claim.distribution} for {claim.scheme}:// cannot be loaded: {reason}",
                        hint=f"pip install --upgrade {claim.distribution}, or uninstall it",
                    ) from error
            backend = self._by_module[claim.module].get(claim.scheme)
            if backend is None:
                reason = f"{claim.module} brings no backend with {claim.scheme!r} in its schemes"
                self._broken[claim.scheme] = Broken(claim.scheme, claim.distribution, reason)
                raise PluginError(f"the plugin {claim.distribution} is broken: {reason}")
            return backend

    def _import(self, claim: Found) -> dict[str, type[Backend]]:
        module = importlib.import_module(claim.module)
        self._hooks.register(module, name=claim.module)
        others = [plugin for plugin in self._hooks.get_plugins() if plugin is not module]
        call = self._hooks.subset_hook_caller("dfly_backends", remove_plugins=others)
        try:
            classes = [_checked(backend) for brought in call() for backend in brought]
            call = self._hooks.subset_hook_caller("dfly_endpoints", remove_plugins=others)
            self._facades |= {facade.prefix: facade for brought in call() for facade in map(_checked_facade, brought)}
        except BaseException:
            # or the plugin's next scheme would fail because of this, and hide the reason
            self._hooks.unregister(module)
            raise
        return {scheme: backend for backend in classes for scheme in backend.schemes}


def _checked(backend: object) -> type[Backend]:
    if not (isinstance(backend, type) and issubclass(backend, Backend)):
        raise TypeError(f"dfly_backends() returned {backend!r}, which is not a subclass of dfly.Backend")
    if isinstance(backend.schemes, str):
        raise TypeError(f"{backend.__qualname__}.schemes is {backend.schemes!r}, which is not a tuple")
    # the help of all commands is made of every plugin's options
    if not attrs.has(backend.options):
        raise TypeError(f"{backend.__qualname__}.options is {backend.options!r}, which is not an attrs class")
    return backend


def _checked_facade(facade: object) -> type[Facade]:
    if not (isinstance(facade, type) and issubclass(facade, Facade)):
        raise TypeError(f"dfly_endpoints() returned {facade!r}, which is not a subclass of dfly.Facade")
    return facade
