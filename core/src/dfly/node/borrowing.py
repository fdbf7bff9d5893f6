"""Makes a task's outputs from what a daemon lends, with this process's own rights: several at a time, in any order."""

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import BinaryIO

from dfly.errors import IntegrityError
from dfly.events import Event, FileFinished, FileVerified, Listener
from dfly.node.lending import Lent, Loan
from dfly.node.lent import Link, make_from
from dfly.output.place import clean, partial_directory, place
from dfly.output.plan import Target
from dfly.store.hashing import new_hash, read_into
from dfly.values import Digest, Entry

#: Outputs made at once: copies wait for the disk, and many small files for its journal.
_AT_ONCE = 4
#: Descriptors held open while they wait for their turn.
_WAITING = 64


def borrow(
    loan: Loan, targets: Sequence[Target], *, root: str, link: Link, emit: Listener, stop: threading.Event
) -> None:
    """Put every target in its place. Raises what `loan.bring` raises, OutputError, and IntegrityError for a demanded digest."""
    wanted: dict[Entry, list[Target]] = {}
    for target in targets:
        wanted.setdefault(target.entry, []).append(target)
    emit = _demanding(wanted, emit)
    room = threading.Semaphore(_WAITING)
    placing: set[Future[None]] = set()

    def put(lent: Lent) -> None:
        try:
            for entry in lent.entries:
                for target in wanted.get(entry, ()):
                    _place(lent, target, root=root, link=link, emit=emit)
                    emit(FileFinished(path=entry.path, output=target.path, bytes=lent.size))
        finally:
            os.close(lent.fd)
            room.release()

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dfly-place") as pool:
        for lent in loan.bring(list(wanted), emit=emit, stop=stop):
            room.acquire()
            placing.add(pool.submit(put, lent))
            done = {future for future in placing if future.done()}
            placing -= done
            for future in done:
                future.result()
        finished, _ = wait(placing, return_when=FIRST_EXCEPTION)
        for future in finished:
            future.result()
    clean(root)


def borrow_to(stdout: BinaryIO, loan: Loan, target: Target, *, emit: Listener, stop: threading.Event) -> None:
    """Write the one file to `stdout`, verified before its first byte."""
    for lent in loan.bring([target.entry], emit=emit, stop=stop):
        try:
            require(lent.fd, lent.size, target.demanded, label=target.entry.path)
            at = 0
            while at < lent.size:
                chunk = os.pread(lent.fd, 1 << 20, at)
                stdout.write(chunk)
                at += len(chunk)
            stdout.flush()
        finally:
            os.close(lent.fd)
        emit(FileFinished(path=target.entry.path, output="-", bytes=lent.size))


def require(fd: int, size: int, demanded: Digest | None, *, label: str) -> None:
    """Hold an open file against what the user demands. Raises IntegrityError."""
    if demanded is None:
        return
    running = new_hash(demanded.algorithm, size)
    read_into([running], fd, 0, size)
    if running.hexdigest() != demanded.value:
        raise IntegrityError(label, algorithm=demanded.algorithm, expected=demanded.value, actual=running.hexdigest())


def _demanding(wanted: Mapping[Entry, list[Target]], emit: Listener) -> Listener:
    """Keeps back that something was verified by its size only where the user demands more: that is said once it is true."""
    demanded = {entry.path for entry, targets in wanted.items() if targets[0].demanded is not None}

    def said(event: Event) -> None:
        if not (isinstance(event, FileVerified) and event.digest is None and event.path in demanded):
            emit(event)

    return said


def _place(lent: Lent, target: Target, *, root: str, link: Link, emit: Listener) -> None:
    if target.demanded is not None and target.demanded not in target.entry.digests:
        require(lent.fd, lent.size, target.demanded, label=target.entry.path)
        if not target.entry.digests:
            emit(FileVerified(path=target.entry.path, digest=str(target.demanded)))
    hidden = f"{partial_directory(target.path, target.entry.blob or target.entry.path, root=root)}.lent"
    place(lambda final: make_from(lent.fd, final, hidden=hidden, link=link), target.path, entry=target.entry)
