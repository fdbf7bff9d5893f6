"""The single-machine benchmark: dfget beside curl, aria2c and the hub's own client, in one run on one disk.

    python -m bench.single_node --rounds 5

Rounds are interleaved and the order of clients rotates, so that a machine that slows down slows down everybody; medians
are shown, raw results are kept in bench/results. What is missing is said and left out.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from bench import machine, origins
from bench.clients import CLIENTS, Client, Dfget, File, HuggingFace, Target, environment
from bench.measure import CommandFailed, measure
from bench.report import single_table
from bench.results import RESULTS, save

MIB = 1 << 20
#: Bytes of an output that is removed at once, for want of room. ext4 passes over inodes that were freed within the last minutes
#: one by one, so who creates thousands of files pays for all that were removed just before: small outputs stay to the end.
_LARGE = 256 * MIB


@attrs.define
class Case:
    """A target, and the source files to drop from the page cache before each run where they are to be cold."""

    name: str
    target: Target
    clients: Sequence[Client]
    cold: Path | None = None
    runs: dict[str, list[dict[str, float]]] = attrs.field(factory=dict)
    missing: dict[str, str] = attrs.field(factory=dict)

    def round(self, number: int, root: Path) -> None:
        """Run every client once, another one first in each round."""
        first = number % len(self.clients)
        for client in (*self.clients[first:], *self.clients[:first]):
            if client.name not in self.missing:
                self._run(client, root)

    def _run(self, client: Client, root: Path) -> None:
        if reason := client.missing():
            self.missing[client.name] = reason
            return
        home = root / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        destination = Path(tempfile.mkdtemp(prefix="out-", dir=root))
        argv = client.argv(self.target, destination)
        if argv is None:
            self.missing[client.name] = "it cannot fetch from such a source"
            return
        os.sync()  # or one client would pay for what the one before it has not written yet
        if self.cold is not None:
            drop_from_cache(self.cold)
        try:
            seen = measure(argv, env=environment(client, self.target, home), cwd=root, timeout=1800)
            check(destination, self.target.files)
        except (CommandFailed, ValueError) as error:
            self.missing[client.name] = str(error)
            self.runs.pop(client.name, None)
            return
        finally:
            if sum(self.target.files.values()) >= _LARGE:
                shutil.rmtree(destination, ignore_errors=True)
        self.runs.setdefault(client.name, []).append(seen)

    def result(self) -> dict[str, Any]:
        """As the raw result has it."""
        return {
            "name": self.name,
            "files": len(self.target.files),
            "bytes": sum(self.target.files.values()),
            "clients": [
                {"name": c.name, "runs": self.runs.get(c.name, []), "missing": self.missing.get(c.name)}
                for c in self.clients
            ],
        }


def check(destination: Path, files: dict[str, int]) -> None:
    """Raise `ValueError` where a file is missing or has another size: a client that failed quietly is not fast."""
    for path, size in files.items():
        found = destination / path
        if not found.is_file() or found.stat().st_size != size:
            raise ValueError(f"it ended well without a right {path}")


def drop_from_cache(folder: Path) -> None:
    """Make the next read of these files come from the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


class Bench:
    """Builds the cases that were asked for; servers live as long as `stack`."""

    def __init__(self, *, root: Path, cache: Path, stack: ExitStack, size: int, sparse: int, small: int) -> None:
        self._root = root
        self._cache = cache
        self._stack = stack
        self._size = size
        self._sparse = sparse
        self._small = small

    def warm(self) -> Case:
        """A large file that nginx has in memory."""
        return self._large("large, warm", cold=False)

    def cold(self) -> Case:
        """The same file read from the disk."""
        return self._large("large, cold", cold=True)

    def verified(self) -> Case:
        """The file in memory again, and everybody holds it against its SHA-256."""
        return self._large("large, verified", cold=False, verified=True)

    def model(self) -> Case:
        """A real model from the fixture hub."""
        self._cache.mkdir(parents=True, exist_ok=True)
        return self._repository("model", origins.real_model(self._cache))

    def small(self) -> Case:
        """Thousands of small files from the fixture hub."""
        return self._repository("small files", origins.small_files(self._root / "small", self._small))

    def sparse(self) -> Case:
        """A file far larger than memory: what counts is dfget's peak memory."""
        target = self._file(origins.sparse_file(self._root / "sparse", self._sparse), self._sparse)
        return Case(f"{self._sparse / 1e9:g} GB sparse", target, [Dfget()])

    def _large(self, name: str, *, cold: bool, verified: bool = False) -> Case:
        folder = self._root / "large"
        if not folder.exists():
            origins.large_file(folder, self._size)
        target = self._file(folder, self._size)
        if verified:
            with (folder / "file").open("rb") as file:
                target = attrs.evolve(target, sha256=hashlib.file_digest(file, "sha256").hexdigest())
        return Case(f"{name}, {self._size >> 20} MiB", target, CLIENTS, folder if cold else None)

    def _file(self, folder: Path, size: int) -> File:
        scratch = Path(tempfile.mkdtemp(dir=self._root))
        url = self._stack.enter_context(origins.nginx(folder, root=scratch))
        return File(f"{url}/file", size)

    def _repository(self, name: str, folder: Path) -> Case:
        target = self._stack.enter_context(origins.hub(folder, repo=f"bench/{folder.name}", root=self._root))
        return Case(name, target, CLIENTS)


def help_times(rounds: int, root: Path) -> dict[str, Any]:
    """`hf --help` and `dfget --help`, as a case."""
    programs: dict[str, tuple[Client, str]] = {"hf --help": (HuggingFace(), "hf"), "dfget --help": (Dfget(), "dfget")}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    missing: dict[str, str] = {}
    for _ in range(rounds + 1):  # the first one fills the byte-code caches and does not count
        for name, (client, program) in programs.items():
            argv = [str(Path(sys.executable).with_name(program)), "--help"]
            try:
                runs[name].append(measure(argv, env=environment(client, None, root), cwd=root, timeout=60))
            except CommandFailed as error:
                missing[name] = str(error)
    clients = [{"name": n, "runs": [] if n in missing else runs[n][1:], "missing": missing.get(n)} for n in programs]
    return {"name": "help", "files": 0, "bytes": 0, "clients": clients}


def main(argv: list[str] | None = None) -> int:
    """Run the cases, print the table, keep the raw result."""
    names = ("help", "warm", "verified", "cold", "model", "small", "sparse")
    parser = argparse.ArgumentParser(
        prog="python -m bench.single_node", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cases", nargs="+", choices=names, default=names[:-1], help="all but sparse, which writes its whole size")
    add("--rounds", type=int, default=5, help="runs of each client in each case (5); sparse has one")
    add("--size", type=int, default=1024, metavar="MIB", help="the large file (1024 MiB)")
    add("--sparse-size", type=float, default=20, metavar="GB", help="the sparse file (20 GB)")
    add("--small", type=int, default=2000, metavar="N", help="how many small files (2000)")
    add("--root", type=Path, help="on which disk (the temporary directory)")
    add("--cache", type=Path, default=Path(__file__).with_name(".cache"), help="keeps the real model (bench/.cache)")
    add("--results", type=Path, default=RESULTS, help="where raw results are kept (bench/results)")
    given = parser.parse_args(argv)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dfly-bench-", dir=given.root)))
        sizes = {"size": given.size * MIB, "sparse": int(given.sparse_size * 1e9), "small": given.small}
        bench = Bench(root=root, cache=given.cache, stack=stack, **sizes)
        build: dict[str, Callable[[], Case]] = {name: getattr(bench, name) for name in names if name != "help"}
        cases: list[Case] = []
        for name in given.cases:
            try:
                cases += [build[name]()] if name in build else []
            except origins.Missing as reason:
                print(f"{name}: left out: {reason}", file=sys.stderr)
        for number in range(given.rounds):
            for case in cases:
                if number == 0 or len(case.clients) > 1:
                    case.round(number, root)
                    print(f"round {number + 1} of {given.rounds}: {case.name}", file=sys.stderr)
        raw: dict[str, Any] = {
            "kind": "single",
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine.facts(),
            "cases": [case.result() for case in cases]
            + ([help_times(given.rounds, root)] if "help" in given.cases else []),
        }
    print(f"{single_table(raw)}\nraw: {save(raw, directory=given.results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
