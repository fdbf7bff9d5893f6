"""The event stream tells the truth, in an order that can be relied on; and files whose size nobody tells."""

import hashlib

import attrs
import pytest
from tests.dfget.files import MIB, some_bytes, tree

from dfly import events
from dfly.config import Fetch
from dfly.events import Event
from dfly.testing import faults

LARGE = some_bytes(5 * MIB)
FILES = {"config.json": b"{}", "model.bin": LARGE, "empty": b"", "same.bin": LARGE}


def names_of(fetch, path: str) -> list[str]:
    return [event.name for event in fetch.events if getattr(event, "path", None) == path]


def test_each_file_is_started_arrives_is_verified_and_then_finished(hub, fetch, here):
    hub.repo("o/r", FILES)
    report = fetch("hf://o/r", "out", recursive=True)
    for path in ("config.json", "model.bin", "empty"):
        told = names_of(fetch, path)
        assert (told[0], told[-2:]) == ("file.started", ["file.verified", "file.finished"])
        assert told.count("file.started") == told.count("file.verified") == 1
    assert fetch.arrived("model.bin") == len(LARGE)
    assert fetch.arrived("config.json") == 2
    assert {e.index for e in fetch.named("segment.finished")} == {0, 1, 2}
    assert {e.source for e in fetch.named("bytes.arrived")} == {"hub"}
    assert {e.path: e.bytes for e in fetch.named("file.finished")} == {k: len(v) for k, v in FILES.items()}
    for event in fetch.named("file.verified"):
        algorithm, _, value = event.digest.partition(":")
        content = FILES[event.path]
        assert algorithm == "git-sha1" or hashlib.new(algorithm, content).hexdigest() == value
    assert report.sources == {"hub": fetch.arrived()}
    assert names_of(fetch, "same.bin") == ["file.finished"]


def test_the_stream_begins_with_the_snapshot_and_ends_with_the_report(hub, fetch):
    hub.repo("o/r", FILES)
    report = fetch("hf://o/r", "out", recursive=True)
    first, last = fetch.events[0], fetch.events[-1]
    assert (first.name, first.files, first.bytes) == ("snapshot.resolved", 4, 2 * len(LARGE) + 2)
    assert last.name == "task.finished"
    assert attrs.asdict(last) == attrs.asdict(report, filter=lambda field, _: field.name != "plan")


def test_an_event_is_never_ahead_of_the_disk(hub, fetch, here):
    hub.repo("o/r", FILES)
    seen = []

    def look(event: Event) -> None:
        if event.name == "file.finished":
            seen.append(event.path)
            assert (here / event.output).read_bytes() == FILES[event.path]
        elif event.name == "file.verified" and event.path == "model.bin":
            assert not (here / "out/model.bin").exists()

    fetch("hf://o/r", "out", recursive=True, on_event=look)
    assert sorted(seen) == sorted(FILES)


def test_a_file_whose_bytes_are_brought_twice_says_so(hub, fetch):
    hub.repo("o/r", {"model.bin": LARGE})
    hub.fault("cdn", flip=True)
    fetch("hf://o/r/model.bin")
    told = names_of(fetch, "model.bin")
    assert told.count("retrying") == 1
    assert told.count("file.finished") == 1


def test_a_break_on_the_way_is_told_and_counts_no_byte_twice(hub, fetch):
    hub.repo("o/r", {"model.bin": LARGE})
    hub.fault("cdn", cut=1_000_000)
    fetch("hf://o/r/model.bin", settings=Fetch(concurrency=1))
    assert len(fetch.named("retrying")) == 1
    assert fetch.arrived() == len(LARGE)


def test_a_listener_that_fails_ends_the_task_and_not_silently(hub, fetch):
    hub.repo("o/r", {"model.bin": LARGE})

    def fail(event: Event) -> None:
        if event.name == "bytes.arrived":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch("hf://o/r/model.bin", on_event=fail)


UNKNOWN = {
    "chunked": [faults.chunked()],
    "until closed": [faults.until_closed()],
    "compressed": [faults.gzip()],
}


@pytest.fixture
def sizeless(web):
    """A link to a file whose size is not told: no HEAD, no ranges, no length."""

    def make(content: bytes, *how, etag: str = "") -> str:
        link = web.add("model.bin", content, etag=etag)
        web.fault("model.bin", faults.status(405), times=99, when=lambda seen: seen.method == "HEAD")
        web.fault("model.bin", faults.no_range(), *how, times=99)
        return link

    return make


@pytest.mark.parametrize("how", UNKNOWN)
@pytest.mark.parametrize("content", [LARGE, b"few", b""], ids=["large", "small", "empty"])
def test_a_file_of_unknown_size_ends_where_the_body_ends(sizeless, fetch, here, how, content):
    report = fetch(sizeless(content, *UNKNOWN[how]))
    assert tree(here) == {"model.bin": content}
    assert (report.bytes, fetch.arrived()) == (len(content), len(content))
    assert (fetch.named("file.started")[0].bytes, fetch.named("file.verified")[0].digest) == (None, None)


def test_a_chunked_body_cut_short_is_no_whole_file(web, fetch, here):
    link = web.add("model.bin", LARGE, etag="")
    web.fault("model.bin", faults.status(405), times=99, when=lambda seen: seen.method == "HEAD")
    web.fault("model.bin", faults.no_range(), faults.chunked(), times=1)
    web.fault("model.bin", faults.no_range(), faults.chunked(), faults.truncated(MIB))
    web.fault("model.bin", faults.no_range(), faults.chunked(), times=99)
    fetch(link)
    assert tree(here) == {"model.bin": LARGE}


def test_an_unknown_size_with_a_demanded_digest_is_verified(sizeless, fetch, here):
    digest = hashlib.sha256(LARGE).hexdigest()
    fetch(sizeless(LARGE, faults.chunked()), digest=digest)
    assert fetch.named("file.verified")[0].digest == f"sha256:{digest}"
    assert tree(here) == {"model.bin": LARGE}


def test_an_unknown_size_in_a_dry_run_is_null(sizeless, dfget):
    told = dfget(sizeless(LARGE, faults.chunked()), "--dry-run", "--json")
    assert told.code == 0, told.err
    assert told.named("file.planned")[0]["bytes"] is None


def test_a_server_without_ranges_is_read_in_one_stream(web, fetch, here):
    link = web.add("model.bin", LARGE)
    web.fault("model.bin", faults.no_range(), times=99)
    fetch(link)
    assert tree(here) == {"model.bin": LARGE}
    whole = [seen for seen in web.asked("model.bin") if seen.method == "GET" and seen.range is None]
    assert len(whole) == 1


def test_every_event_class_has_a_name_of_its_own():
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    names = [kind.name for kind in kinds]
    assert len(set(names)) == len(names)
    assert all("." in kind.name or kind.name in ("event", "retrying", "stalled", "warning") for kind in kinds)
