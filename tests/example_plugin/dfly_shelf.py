"""Shelves of files for dfly: `shelf://name[@revision][/path]`. A whole plugin; dfly's docs/plugins.md walks through it.

A shelf is a web server's folder with an index, `<endpoint>/<name>.json`, that lists the files of the newest revision.
What `<endpoint>/<name>@<revision>.json` and `<endpoint>/<name>@<revision>/<path>` serve never changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

import attrs

import dfly

_URL = re.compile(r"shelf://([a-z0-9-]+)(?:@([a-z0-9.-]+))?(?:/(.*))?", re.DOTALL)


@attrs.frozen
class ShelfOptions:
    """What a user may set: `--shelf-endpoint`, `--shelf-token`."""

    endpoint: str = dfly.option(
        "https://shelf.example", help="where the shelves are", env=("SHELF_ENDPOINT",), endpoint=True
    )
    token: dfly.Secret | None = dfly.option(help="a reader's token", env=("SHELF_TOKEN",), secret=True, travels=True)


class ShelfBackend(dfly.Backend):
    """Shelves of files"""

    schemes = ("shelf",)
    options = ShelfOptions
    examples = ("shelf://fairytales -O tales/ -r",)

    settings: ShelfOptions

    def stat(self, url: str) -> dfly.Entry:
        """One file: the entry of a listing that has the listing's own URL."""
        found = self.list(url)
        for entry in found.entries:
            if entry.url == found.source:
                return entry
        raise dfly.NotAFile(dfly.bare_url(url))

    def list(self, url: str) -> dfly.Snapshot:
        """A shelf, a folder of it, or one file."""
        name, revision, path = _parse(url)
        shelf = self._shelf(name, revision)
        if not path:
            return shelf
        last = path.rpartition("/")[2]
        entries = [attrs.evolve(file, path=last) for file in shelf.entries if file.path == path] or [
            attrs.evolve(file, path=file.path.removeprefix(f"{path}/"))
            for file in shelf.entries
            if file.path.startswith(f"{path}/")
        ]
        if not entries:
            raise dfly.NotFound(f"{shelf.source} has nothing at {path!r}", url=shelf.source)
        return attrs.evolve(shelf, source=f"{shelf.source}/{path}", name=last, entries=entries)

    def locate(self, entry: dfly.Entry) -> dfly.Request:
        """Where the core finds the bytes; it adds ranges, retries and checks."""
        name, revision, path = _parse(entry.url)
        return dfly.Request(url=f"{self.settings.endpoint}/{name}@{revision}/{quote(path)}", headers=self._headers())

    def _shelf(self, name: str, revision: str | None) -> dfly.Snapshot:
        wanted = f"{name}@{revision}" if revision else name
        response = self.tools.client.get(f"{self.settings.endpoint}/{wanted}.json", headers=self._headers())
        if response.status_code == 404:
            raise dfly.NotFound(f"there is no shelf://{wanted}", kind="revision" if revision else "repository")
        if error := dfly.error_for_status(response, what=f"shelf://{wanted}"):
            raise error
        try:
            index = response.json()
            source = f"shelf://{name}@{index['revision']}"
            entries = [self._entry(source, path, **file) for path, file in index["files"].items()]
            return dfly.Snapshot(source, name, entries, index["revision"], public=index["public"] is True)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise dfly.Unsupported(f"shelf://{wanted} has an index that cannot be read: {error!r}") from error

    def _entry(self, source: str, path: str, *, size: int, sha256: str) -> dfly.Entry:
        shelf, _, revision = source.partition("@")
        place = f"{self.settings.endpoint}/{shelf.removeprefix('shelf://')}/{path}"
        digests = (dfly.Digest("sha256", sha256),)
        return dfly.Entry(path, size, f"{source}/{path}", identity=place, digests=digests, validator=revision)

    def _headers(self) -> dict[str, str]:
        token = self.settings.token
        return {"Authorization": f"Bearer {token.reveal()}"} if token else {}


def _parse(url: str) -> tuple[str, str | None, str]:
    parts = _URL.fullmatch(url)
    if parts is None:
        raise dfly.UsageError(f"{dfly.bare_url(url)!r} is not shelf://name[@revision][/path]")
    return parts[1], parts[2], (parts[3] or "").strip("/")


@dfly.hookimpl
def dfly_backends() -> Iterable[type[dfly.Backend]]:
    """What the entry point leads to."""
    return [ShelfBackend]
