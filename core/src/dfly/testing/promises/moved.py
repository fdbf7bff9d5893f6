"""What `get` yields: exactly the bytes that were asked for, of the pinned content, whoever else is asking."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from itertools import product, zip_longest
from threading import Barrier

import pytest

from dfly.backend import Backend, Request
from dfly.errors import Changed, DflyError, Expired, NotFound
from dfly.testing.promises.broken import broken, must, promise, read, renewed, tree_only
from dfly.testing.world import World
from dfly.values import Entry

__all__ = ["MovedPromises"]

_EXACT = (
    "slice with [start, stop): stop is not included, None means to the end; raise OriginUnavailable on a short body"
)


class MovedPromises:
    """Promises of `get`, and of `locate` where there is one."""

    def test_a_located_request_is_complete(self, backend: Backend, world: World) -> None:
        """A web URL, plain headers, a strong ETag; and not a plan that holds for one call only."""
        if type(backend).locate is Backend.locate:
            pytest.skip("get without locate")
        entry = backend.stat(world.file)
        for request in (tree_only(backend.locate, entry), tree_only(backend.locate, entry)):
            promise(isinstance(request, Request), "locate", f"locate gave {request!r}", do="return a dfly.Request")
            web = request.url.partition("://")[0] in ("http", "https")
            promise(web, "locate", f"Request.url is {request!r}", do="give an http(s) URL, or override get instead")
            plain = all(isinstance(text, str) for pair in request.headers.items() for text in pair)
            promise(plain, "locate", "a header is not text", do="reveal() secrets into the header's value")
            ranged = {"range", "if-match", "if-range"} & {name.lower() for name in request.headers}
            promise(
                not ranged, "locate", f"sets {sorted(ranged)}", do="leave ranges and conditions to the core; set etag"
            )
            strong = request.etag is None or not request.etag.startswith("W/")
            promise(
                strong, "locate", f"etag {request.etag} is weak", do="give only strong ETags; a weak one pins nothing"
            )

    def test_get_yields_the_whole_file(self, backend: Backend, world: World) -> None:
        """With `stop` given and without."""
        entry, size = backend.stat(world.file), len(world.content)
        _same(backend, entry, 0, size, world)
        _same(backend, entry, 0, None, world)

    def test_get_yields_exactly_the_range(self, backend: Backend, world: World) -> None:
        """First byte, last byte, one in the middle, a stretch, the tail."""
        entry, size = backend.stat(world.file), len(world.content)
        for start, stop in (
            (0, 1),
            (size - 1, size),
            (size // 2, size // 2 + 1),
            (size // 3, size // 2),
            (size // 2, size),
        ):
            _same(backend, entry, start, stop, world)

    def test_get_reads_to_the_end(self, backend: Backend, world: World) -> None:
        """`stop` None from the middle: how a download of unknown size goes on."""
        entry, size = backend.stat(world.file), len(world.content)
        _same(backend, entry, size // 2, None, world)

    def test_an_empty_file_has_no_bytes(self, backend: Backend, world: World) -> None:
        """And is no error."""
        if world.empty is None:
            pytest.skip("World.empty is not given")
        entry = backend.stat(world.empty)
        do = "yield nothing, and ask for no range: there is no byte 0"
        got = must("get.empty", lambda: b"".join(backend.get(entry, 0, None)), do=do)
        promise(got == b"", "get.empty", f"an empty file yielded {len(got)} bytes", do=do)

    def test_two_readers_do_not_disturb_each_other(self, backend: Backend, world: World) -> None:
        """Two ranges of one entry, chunk by chunk in turn, give what each gives alone: no shared cursor."""
        if not world.ranges:
            pytest.skip("World.ranges is False")
        entry, half = backend.stat(world.file), len(world.content) // 2
        alone = read(backend, entry, 0, half, world), read(backend, entry, half, None, world)
        left, right = bytearray(), bytearray()
        readers = renewed(backend, entry, 0, half), renewed(backend, entry, half, None)
        for a, b in zip_longest(*readers, fillvalue=b""):
            left += a
            right += b
        promise((bytes(left), bytes(right)) == alone, "get.threads", "two readers in turn mix their bytes", do=_THREADS)

    def test_four_threads_read_at_once(self, backend: Backend, world: World) -> None:
        """An instance serves many worker threads, each of which gets what it would get alone."""
        size, barrier = len(world.content), Barrier(4)
        spans = [(size * n // 4, size * (n + 1) // 4) for n in range(4)]

        def quarter(span: tuple[int, int]) -> bytes | None:
            barrier.wait(30)
            return read(backend, tree_only(backend.stat, world.file), *span, world)

        entry = backend.stat(world.file)
        alone = [read(backend, entry, *span, world) for span in spans]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(quarter, spans, timeout=60))
        promise(together == alone, "get.threads", "four threads at once get other bytes than each alone", do=_THREADS)

    def test_a_reader_may_stop_early(self, backend: Backend, world: World) -> None:
        """The core closes iterators it no longer needs; the next `get` must not notice."""
        entry = backend.stat(world.file)
        for _ in range(3):
            chunks = backend.get(entry, 0, None)
            close = getattr(chunks, "close", None)
            if close is None:
                broken(
                    "get.abandon", f"get returned a {type(chunks).__name__} without close()", do="make get a generator"
                )
            with suppress(Expired):
                next(chunks)
            tree_only(close)
        _same(backend, entry, 0, None, world)

    def test_changed_content_is_never_mixed(self, backend: Backend, world: World) -> None:
        """After a change the pinned bytes still come, or Changed is raised, which ends the download."""
        if world.change is None:
            pytest.skip("World.change is not given")
        entry, half = backend.stat(world.file), len(world.content) // 2
        if entry.validator is None and not entry.digests:
            pytest.skip("the origin pins nothing, and the entry says so")
        before = {start: read(backend, entry, start, None, world) for start in (half, 0)}
        world.change()
        # a copy must locate anew, as when a link has run out; where no digest tells, the first ETag behind a redirect is right
        readers = (backend, copy(backend)) if entry.digests else (backend,)
        for reader, start in product(readers, before):
            try:
                got = read(reader, entry, start, None, world)
            except (Changed, NotFound):
                continue
            except DflyError as error:
                broken("get.pinned", f"after a change: {type(error).__name__}", do="raise Changed; others are retried")
            promise(
                got == before[start],
                "get.pinned",
                f"get(entry, {start}, None) follows the change: a download in flight would mix old and new bytes",
                do="ask for the pinned revision (entry.url, entry.validator), or set Request.etag; else raise Changed",
            )


_THREADS = "keep what belongs to one get in local variables, not on self; guard what must be shared with a lock"


def _same(backend: Backend, entry: Entry, start: int, stop: int | None, world: World) -> None:
    got, wanted = read(backend, entry, start, stop, world), world.content[start:stop]
    if got is None or got == wanted:
        return
    how = f"{len(got)} bytes instead of {len(wanted)}" if len(got) != len(wanted) else "the right number of wrong bytes"
    name = "get.to-the-end" if start and stop is None else "get.exact"
    broken(name, f"get(entry, {start}, {stop}) yielded {how}", do=_EXACT)
