"""`dfctl verify`, `pin` and `unpin`: ask the node daemon to look at its blobs, or to keep some whatever else needs room."""

import json
import sys
from typing import Annotated, Any

import typer

from dfly.cli.desk import Json, at_desk
from dfly.cli.units import count_text, printable
from dfly.errors import IntegrityError

Blobs = Annotated[
    list[str], typer.Argument(metavar="[BLOB]...", help="Blob ids; all where none is given.", show_default=False)
]
Url = Annotated[str, typer.Argument(metavar="URL", help="The source URL that was fetched.", show_default=False)]


def verify(blobs: Blobs = [], json: Json = False) -> int:  # noqa: B006, FBT002 - typer calls it by name
    """Read what the daemon keeps, hold it against its digests, and mend what is damaged. Exit code 10 if some is lost."""
    found = _ask("verify", {"blobs": blobs or None}, json=json)
    if not json:
        mended, lost = found["mended"], found["lost"]
        parts = [f"{count_text(found['right'], 'blob')} right", f"{len(mended):,} mended", f"{len(lost):,} lost"]
        sys.stdout.write(", ".join(parts) + "\n")
        sys.stdout.writelines(f"  lost until it is fetched again: {printable(blob)}\n" for blob in lost)
    return IntegrityError.exit_code if found["lost"] else 0


def pin(url: Url, json: Json = False) -> int:  # noqa: FBT002 - as verify
    """Keep what was fetched from URL, whatever else needs room."""
    return _pin(url, pinned=True, json=json)


def unpin(url: Url, json: Json = False) -> int:  # noqa: FBT002 - as verify
    """Let what was fetched from URL be given up again."""
    return _pin(url, pinned=False, json=json)


def _pin(url: str, *, pinned: bool, json: bool) -> int:
    found = _ask("pins", {"url": url, "pinned": pinned}, json=json)
    if not json:
        for row in found["snapshots"]:
            sys.stdout.write(f"{'pinned' if pinned else 'unpinned'}: {printable(row['url'])}\n")
    return 0


def _ask(path: str, body: dict[str, Any], *, json: bool) -> Any:
    with at_desk(None) as desk:
        said = desk.post(path, body)
    if json:
        sys.stdout.write(_dumps(said) + "\n")
    return said


def _dumps(said: Any) -> str:
    return json.dumps(said)
