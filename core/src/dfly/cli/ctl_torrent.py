"""`dfctl torrent URL`: standard .torrent files of what a seed peer has, for clients that know nothing of dfly."""

import base64
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dfly.cli.desk import CaFile, Json, TokenFile, at_desk
from dfly.cli.flags import checked, seed_peer_flag
from dfly.cli.units import count_text, printable, size_text
from dfly.errors import OutputError, UsageError
from dfly.paths import refuse_unsafe
from dfly.values import seed_peer_url

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL|SNAPSHOT",
        help="What the seed peer was asked for, or the pinned URL or id of what it has.",
        show_default=False,
    ),
]
SeedPeer = Annotated[
    str | None,
    seed_peer_flag("The seed peer that has it, and tracks it."),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", file_okay=False, help="Where the .torrent files go.")
]
PublicUrl = Annotated[
    str | None,
    typer.Option(
        "--public-url",
        metavar="URL",
        parser=checked(seed_peer_url),
        help="Where clients reach the seed peer, if not at --seed-peer.",
        show_default=False,
    ),
]
Days = Annotated[int, typer.Option("--days", metavar="N", min=1, max=366, help="How long they are good for.")]
NoWebSeed = Annotated[
    bool, typer.Option("--no-web-seed", help="Leave the seed peer's own copy out: clients take all from nodes.")
]

#: Seconds of a day.
_DAY = 86400


def torrent(
    url: Url,
    seed_peer: SeedPeer = None,
    output: Output = Path(),
    public_url: PublicUrl = None,
    days: Days = 7,
    no_web_seed: NoWebSeed = False,  # noqa: FBT002 - typer calls it by name
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - as above
) -> int:
    """Write a .torrent for each file of a snapshot, for stock clients (aria2c, Transmission, …) to take it from the nodes.

    Whoever has such a file can download what it names, without a token, while it is good.
    """
    if seed_peer is None:
        raise UsageError("only a seed peer has a tracker", hint="give --seed-peer URL")
    with at_desk(seed_peer, token_file, ca_file) as desk:
        said = desk.get(
            "torrents",
            url=url,
            at=public_url or desk.url,
            seconds=str(days * _DAY),
            web_seed="0" if no_web_seed else "1",
        )
    files = said["files"]
    refuse_unsafe(file["path"] for file in files)
    written = [_write(output, file) for file in files]
    if json:
        _print_json(said, written)
    else:
        for path, file in zip(written, files, strict=True):
            sys.stdout.write(printable(f"{path}  {size_text(file['bytes'])}\n"))
        sys.stdout.write(f"{count_text(len(files), 'torrent')}, good for {count_text(days, 'day')}\n")
    return 0


def _write(folder: Path, file: dict[str, Any]) -> Path:
    path = folder / f"{file['path']}.torrent"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(file["torrent"]))
    except OSError as error:
        raise OutputError.from_os(error, str(path), flag="-o") from error
    return path


def _print_json(said: dict[str, Any], written: list[Path]) -> None:
    import json

    rows = [
        {"path": file["path"], "bytes": file["bytes"], "info_hash": file["info_hash"], "torrent": str(path)}
        for path, file in zip(written, said["files"], strict=True)
    ]
    sys.stdout.write(json.dumps({"source": said["source"], "expires": said["expires"], "files": rows}) + "\n")
