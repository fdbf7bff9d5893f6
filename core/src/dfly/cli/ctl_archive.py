"""`dfctl export` and `import`: carry snapshots to where no hub can be reached, as one file."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TextIO

import typer

from dfly.cli.desk import CaFile, Desk, Json, SeedPeerUrl, TokenFile, at_desk, at_desks, kind_of
from dfly.cli.flags import seed_peer_flag
from dfly.cli.streams import say
from dfly.cli.tally import Speed
from dfly.cli.units import count_text, printable, rate_text, size_text
from dfly.errors import DflyError, OutputError, SwarmError, UsageError
from dfly.values import bare_url

if TYPE_CHECKING:
    import httpx

_CHUNK = 1 << 20

Snapshots = Annotated[
    list[str],
    typer.Argument(
        metavar="URL|SNAPSHOT", help="Source URLs that were fetched, or ids of dfctl ls.", show_default=False
    ),
]
Output = Annotated[
    str,
    typer.Option("-o", "--output", metavar="FILE", help="Where to; - writes to standard output.", show_default=False),
]
Source = Annotated[
    str, typer.Argument(metavar="FILE", help="What dfctl export wrote; - reads standard input.", show_default=False)
]
SeedPeers = Annotated[
    list[str],
    seed_peer_flag("The seed peer to bring it into. Repeatable: into each, one after the other."),
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
    seed_peer: SeedPeers = [],  # noqa: B006 - typer hands out a list of its own
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json_: Json = False,  # noqa: FBT002 - typer calls it by name
) -> int:
    """Bring an archive into seed peers: their nodes then fetch what is in it as usual, and no hub is asked.

    Nodes share seed peers out by repository: where there are several, bring it into each.
    """
    urls = tuple(dict.fromkeys(seed_peer))
    if not urls:
        raise UsageError("an archive goes into a seed peer", hint="say which, with --seed-peer URL")
    if file == "-" and len(urls) > 1:
        raise UsageError("standard input can be read only once", hint="import a file, or into one seed peer at a time")
    with at_desks(urls, token_file, ca_file) as desks:
        found = [_brought_in(file, desk) for desk in desks]
    if len(found) == 1 and isinstance(found[0], DflyError):
        raise found[0]
    sys.stdout.write(_as_json(urls, found) if json_ else printable(_as_text(urls, found)))
    _raise_first(urls, found)
    return 0


def _brought_in(file: str, desk: Desk) -> Any:
    """What a seed peer says of the archive, or why it has not taken it."""
    with _read(file) as (chunks, length):
        try:
            with desk.stream("POST", "import", content=chunks, headers=length) as response:
                return json.loads(response.read())
        except DflyError as error:
            return error


def _as_text(urls: Sequence[str], found: Sequence[Any]) -> str:
    lines, sources = [], dict[str, None]()
    for url, said in zip(urls, found, strict=True):
        if not isinstance(said, DflyError):
            where = f"{bare_url(url)}: " if len(urls) > 1 else ""
            here = f"; {count_text(said['here'], 'blob')} were there" if said["here"] else ""
            lines.append(f"{where}imported {count_text(said['blobs'], 'blob')}, {size_text(said['bytes'])}{here}")
            sources |= dict.fromkeys(said["snapshots"])
    return "".join(f"{line}\n" for line in [*lines, *(f"  {source}" for source in sources)])


def _as_json(urls: Sequence[str], found: Sequence[Any]) -> str:
    taken = [said for said in found if not isinstance(said, DflyError)]
    rows = [
        {"seed_peer": bare_url(url), "error": said.message}
        if isinstance(said, DflyError)
        else {"seed_peer": bare_url(url), **{name: said[name] for name in ("blobs", "bytes", "here")}, "error": None}
        for url, said in zip(urls, found, strict=True)
    ]
    sums = {name: sum(said[name] for said in taken) for name in ("blobs", "bytes", "here")}
    sources = list(dict.fromkeys(source for said in taken for source in said["snapshots"]))
    return json.dumps({"snapshots": sources, **sums, "seed_peers": rows}) + "\n"


def _raise_first(urls: Sequence[str], found: Sequence[Any]) -> None:
    """Say which of several seed peers have not taken it; the exit code is that of the first."""
    from dfly.node.revival import revive

    wrong = [(bare_url(url), said) for url, said in zip(urls, found, strict=True) if isinstance(said, DflyError)]
    if wrong:
        first = wrong[0][1]
        lines = "".join(f"\n  {url}: {error.message}" for url, error in wrong)
        raise revive(kind_of(first), f"not every seed peer has it:{lines}", first.hint)


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
