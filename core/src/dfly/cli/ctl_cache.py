"""`dfctl verify`, `pin` and `unpin`: have blobs looked at, or have some kept whatever else needs room."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dfly.cli.desk import CaFile, Json, SeedPeerUrl, TokenFile, at_desk, written
from dfly.cli.units import count_text, printable
from dfly.errors import IntegrityError

Blobs = Annotated[
    list[str], typer.Argument(metavar="BLOB", help="Blob ids; all where none is given.", show_default=False)
]
Url = Annotated[
    str,
    typer.Argument(
        metavar="URL|SNAPSHOT", help="A URL that it was asked for by, its source, or its id.", show_default=False
    ),
]


def verify(
    blobs: Blobs = [],  # noqa: B006 - typer calls it by name
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - as above
) -> int:
    """Read what is kept, hold it against its digests, and mend what is damaged. Exit code 10 if some is lost."""
    with at_desk(seed_peer, token_file, ca_file) as desk:
        found = desk.post("verify", {"blobs": blobs or None})
    if json:
        sys.stdout.write(written(found))
    else:
        mended, lost = found["mended"], found["lost"]
        parts = [f"{count_text(found['right'], 'blob')} right", f"{len(mended):,} mended", f"{len(lost):,} lost"]
        sys.stdout.write(", ".join(parts) + "\n")
        sys.stdout.writelines(f"  lost until it is fetched again: {printable(blob)}\n" for blob in lost)
    return IntegrityError.exit_code if found["lost"] else 0


def pin(
    url: Url,
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - as verify
) -> int:
    """Keep what was fetched from URL, whatever else needs room."""
    return _pin(url, pinned=True, seed_peer=seed_peer, token_file=token_file, ca_file=ca_file, json=json)


def unpin(
    url: Url,
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - as verify
) -> int:
    """Let what was fetched from URL be given up again."""
    return _pin(url, pinned=False, seed_peer=seed_peer, token_file=token_file, ca_file=ca_file, json=json)


def _pin(
    url: str, *, pinned: bool, seed_peer: str | None, token_file: Path | None, ca_file: Path | None, json: bool
) -> int:
    with at_desk(seed_peer, token_file, ca_file) as desk:
        found = desk.post("pins", {"url": url, "pinned": pinned})
    if json:
        sys.stdout.write(written(found))
    else:
        for row in found["snapshots"]:
            sys.stdout.write(f"{'pinned' if pinned else 'unpinned'}: {printable(row['url'])}\n")
    return 0
