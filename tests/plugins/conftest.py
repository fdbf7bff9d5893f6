"""Tiny distributions, a module and a dist-info with entry points each, in a folder of their own; and core's wheel."""

import importlib
import sys
from importlib import metadata
from pathlib import Path

import pytest

from .bare import ROOT, build_wheel

MODULE = """\
import dfly

class Gopher(dfly.Backend):
    schemes = {schemes!r}

    def stat(self, url): raise NotImplementedError
    def list(self, url): raise NotImplementedError

@dfly.hookimpl
def dfly_backends():
    return [Gopher]
"""


class Site:
    """A folder as `pip install` leaves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.modules: set[str] = set()

    def install(
        self,
        name: str,
        *,
        schemes: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
        source: str | None = None,
        version: str = "1.0",
    ) -> str:
        """Write the distribution `name`; its module's name."""
        module = name.replace("-", "_")
        self.modules.add(module)
        (self.path / f"{module}.py").write_text(MODULE.format(schemes=schemes) if source is None else source)
        info = self.path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = ["[dfly]", *(f"{scheme} = {module}" for scheme in schemes)]
        lines += ["[dfly.hosts]", *(f"{host} = {module}" for host in hosts)]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        return module

    def entry_points(self) -> metadata.EntryPoints:
        """The entry points of this folder only."""
        return metadata.EntryPoints(
            ep for dist in metadata.distributions(path=[str(self.path)]) for ep in dist.entry_points
        )


@pytest.fixture
def site(tmp_path, monkeypatch):
    path = tmp_path / "site-packages"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    importlib.invalidate_caches()
    site = Site(path)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)


@pytest.fixture(scope="session")
def core_wheel(tmp_path_factory) -> Path:
    return build_wheel(ROOT / "core", tmp_path_factory.mktemp("core"))
