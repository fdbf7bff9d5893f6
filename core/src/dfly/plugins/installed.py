"""What the distributions of this interpreter claim by their entry points.

To read those of a hundred distributions takes as long as many a small file, so it is done again only after one has come or gone:
a notebook finds what was installed meanwhile, and whoever opens a thousand files does not look a thousand times.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata

import attrs

SCHEMES, HOSTS = "dfly", "dfly.hosts"


@attrs.frozen(order=True)
class Claim:
    """One entry point of the group SCHEMES or HOSTS: a scheme or a host, and the module that serves it."""

    name: str
    distribution: str
    version: str
    module: str
    group: str


def installed() -> tuple[Claim, ...]:
    """The claims of all distributions, sorted by name and distribution."""
    return _read(tuple((folder, _changed(folder or ".")) for folder in sys.path))


@lru_cache(maxsize=1)
def _read(_as_of: tuple[tuple[str, int], ...]) -> tuple[Claim, ...]:
    found = metadata.entry_points()
    return claims([*found.select(group=SCHEMES), *found.select(group=HOSTS)])


def claims(entry_points: Iterable[metadata.EntryPoint]) -> tuple[Claim, ...]:
    """What these claim, sorted by name and distribution."""
    return tuple(sorted(_claim(each) for each in entry_points))


def _claim(entry_point: metadata.EntryPoint) -> Claim:
    dist = entry_point.dist
    distribution, version = (dist.name, dist.version) if dist else ("unknown", "")
    return Claim(entry_point.name.lower(), distribution, version, entry_point.module, entry_point.group)


def _changed(folder: str) -> int:
    """When something was last put into `folder` or taken out, 0 where there is none."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0
