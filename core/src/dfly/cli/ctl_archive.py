"""`dfctl export` and `import`: carry snapshots to where no hub can be reached, as one file."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TextIO

import typer

from dfly.cli.desk import CaFile, Json, SeedPeerUrl, TokenFile, at_desk
from dfly.cli.streams import say
from dfly.cli.tally import Speed
from dfly.cli.units import count_text, printable, rate_text, size_text
from dfly.errors import OutputError, SwarmError, UsageError

if TYPE_CHECKING:
    import httpx

_CHUNK = 1 << 20

Snapshots = Annotated[
    list[str],
    typer.Argument(
        metavar="SNAPSHOT...", help="Source URLs that were fetched, or tasks of dfctl ls.", show_default=False
    ),
]
Output = Annotated[
    str,
    typer.Option("-o", "--output", metavar="FILE", help="Where to; - writes to standard output.", show_default=False),
]
Source = Annotated[
    str, typer.Argument(metavar="FILE", help="What dfctl export wrote; - reads standard input.", show_default=False)
]


def export(
    snapshots: Snapshots,
    output: Output,
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json_: Json = False,  # noqa: FBT002 - typer calls it by name
) -> int:
    """Write snapshots that are complete at a seed peer (or this machine's daemon) into one archive, for dfctl import."""
    if json_ and output == "-":
        raise UsageError("--json and -o - both want standard output", hint="leave one of them out")
    with (
        at_desk(seed_peer, token_file, ca_file) as desk,
        desk.stream("GET", "export", params={"snapshot": snapshots}) as response,
    ):
        size = int(response.headers.get("Content-Length", 0))
        with _written(output, size) as file:
            _copy(response, file, size=size)
    if output != "-":
        said = {"file": output, "bytes": size, "snapshots": snapshots}
        text = f"exported {count_text(len(snapshots), 'snapshot')} to {output}: {size_text(size)}\n"
        sys.stdout.write(json.dumps(said) + "\n" if json_ else printable(text))
    return 0


def import_(
    file: Source,
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json_: Json = False,  # noqa: FBT002 - typer calls it by name
) -> int:
    """Bring an archive into a seed peer: its nodes then fetch what is in it as usual, and no hub is asked."""
    if seed_peer is None:
        raise UsageError("an archive goes into a seed peer", hint="say which, with --seed-peer URL")
    with (
        at_desk(seed_peer, token_file, ca_file) as desk,
        _read(file) as (chunks, length),
        desk.stream("POST", "import", content=chunks, headers=length) as response,
    ):
        said: Any = json.loads(response.read())
    if json_:
        sys.stdout.write(json.dumps(said) + "\n")
        return 0
    here = f"; {count_text(said['here'], 'blob')} were there" if said["here"] else ""
    sys.stdout.write(f"imported {count_text(said['blobs'], 'blob')}, {size_text(said['bytes'])}{here}\n")
    sys.stdout.writelines(f"  {printable(source)}\n" for source in said["snapshots"])
    return 0


@contextmanager
def _written(output: str, size: int) -> Iterator[BinaryIO]:
    """Where an archive goes: under its name only once it is whole."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = f"{output}.unfinished"
    try:
        _refuse_full(os.path.dirname(output) or ".", size)
        try:
            with open(unfinished, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, output)
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished)
            raise
    except OSError as error:
        raise OutputError.from_os(error, output, flag="-o") from error


def _refuse_full(folder: str, size: int) -> None:
    system = os.statvfs(folder)
    free = system.f_bavail * system.f_frsize
    if size > free:
        raise OutputError(
            f"{folder} has {size_text(free)} free, and the archive has {size_text(size)}",
            hint="choose another place with -o, or pipe it on with -o -",
        )


def _copy(response: "httpx.Response", file: BinaryIO, *, size: int) -> None:
    import httpx

    done = 0
    try:
        for chunk in told(response.iter_raw(_CHUNK), size=size, stream=sys.stderr):
            file.write(chunk)
            done += len(chunk)
    except httpx.HTTPError as error:
        raise SwarmError(
            f"the archive broke off after {size_text(done)} of {size_text(size)}",
            hint="if that happens again, something in it is damaged: dfctl verify, and the other side's log says what",
        ) from error


def told(
    chunks: Iterator[bytes],
    *,
    size: int,
    stream: TextIO,
    every: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """`chunks`, with a line on `stream` every so many seconds: how far it is, of `size` bytes (0: nobody knows), and how fast."""
    done, last, speed = 0, clock(), Speed(window=3 * every)
    speed.sample(last, 0)
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        now = clock()
        if now - last >= every:
            last = now
            of = f" of {size_text(size)}" if size else ""
            say(stream, f"{size_text(done)}{of}, {rate_text(speed.sample(now, done))}\n")


@contextmanager
def _read(path: str) -> Iterator[tuple[Iterator[bytes], dict[str, str]]]:
    """The chunks of an archive, and the headers that tell its length where it is known."""
    if path == "-":
        yield told(_chunks(sys.stdin.buffer), size=0, stream=sys.stderr), {}
        return
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            yield told(_chunks(file), size=size, stream=sys.stderr), {"Content-Length": str(size)}
    except OSError as error:
        raise OutputError.unreadable(error, path) from error


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
