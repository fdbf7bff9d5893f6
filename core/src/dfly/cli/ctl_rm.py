"""`dfctl rm URL`: forget a snapshot, and take off the disk what nothing else there needs."""

import sys
from typing import Annotated

import typer

from dfly.cli.desk import CaFile, Json, SeedPeerUrl, TokenFile, at_desk, written
from dfly.cli.units import count_text, printable

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL|SNAPSHOT", help="A URL that it was asked for by, its source, or its id.", show_default=False
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Also if it is pinned, nodes are fetching it, or it was lent a moment ago.")
]


def rm(
    url: Url,
    force: Force = False,  # noqa: FBT002 - typer calls it by name
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - as above
) -> int:
    """Forget what was fetched from URL, and remove the blobs that no other snapshot needs."""
    with at_desk(seed_peer, token_file, ca_file) as desk:
        found = desk.post("remove", {"url": url, "force": force})
    if json:
        sys.stdout.write(written(found))
        return 0
    for row in found["snapshots"]:
        sys.stdout.write(f"removed: {printable(row['url'])}\n")
    sys.stdout.write(f"{count_text(len(found['removed']), 'blob')} removed\n")
    if found["staying"]:
        sys.stdout.write(f"{count_text(len(found['staying']), 'blob')} in use, to be given up when room is needed\n")
    return 0
