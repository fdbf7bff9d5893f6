"""The picture on the way, drawn from events under a clock that the test moves."""

import io
import math

import pytest
from rich.console import Console

from dfly.cli.progress import SHOWN_FILES, Bar, Lines
from dfly.cli.tally import Speed, Tally
from dfly.events import (
    BytesArrived,
    FileFinished,
    FileSkipped,
    FileStarted,
    FileVerified,
    Retrying,
    SnapshotResolved,
    Stalled,
    TaskFinished,
    Warned,
)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


FINISHED = TaskFinished(url="toy://a", output="a", files=3, bytes=100, skipped=1, seconds=1.0, sources={})


def _resolved(files, size):
    return SnapshotResolved(url="toy://a", revision=None, snapshot="s", files=files, bytes=size)


@pytest.fixture
def bar():
    """Feed events, move the clock, read the picture as text."""
    clock, tally = Clock(), Tally()
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    drawn = Bar(tally, console, clock=clock)

    def picture(*events, after=0.0):
        for event in events:
            tally(event)
            drawn(event)
        clock.now += after
        with console.capture() as captured:
            console.print(drawn.draw())
        return captured.get()

    return picture


def test_the_bar_counts_written_bytes_and_what_was_there_before(bar):
    bar()
    picture = bar(
        _resolved(3, 4_000_000),
        FileSkipped(path="z", bytes=1_000_000),
        FileStarted(path="a", bytes=2_000_000, had=500_000),
        BytesArrived(path="a", bytes=500_000, source="hub"),
        after=2.0,
    )
    assert "2.00 MB of 4.00 MB (50 %), 250 kB/s, 1 of 3 files, about 8.0 s left" in picture
    assert "1.00 MB of 2.00 MB" in picture


def test_a_file_that_is_fetched_anew_counts_anew(bar):
    picture = bar(
        _resolved(1, 100),
        FileStarted(path="a", bytes=100, had=0),
        BytesArrived(path="a", bytes=100, source="hub"),
        FileStarted(path="a", bytes=100, had=0),
        BytesArrived(path="a", bytes=30, source="hub"),
    )
    assert "30 B of 100 B (30 %)" in picture


def test_bytes_that_come_twice_do_not_pass_the_size(bar):
    arrived = BytesArrived(path="a", bytes=80, source="hub")
    assert "100 B of 200 B (50 %)" in bar(_resolved(1, 200), FileStarted(path="a", bytes=100, had=0), arrived, arrived)


def test_a_complete_file_is_verifying_until_it_is_verified(bar):
    picture = bar(
        _resolved(1, 100), FileStarted(path="a", bytes=100, had=0), BytesArrived(path="a", bytes=100, source="hub")
    )
    assert "verifying" in picture
    assert "verifying" not in bar(FileVerified(path="a", digest="sha256:0"))
    done = bar(FileFinished(path="a", output="a", bytes=100))
    assert "100 B of 100 B (100 %), 0 B/s, 1 of 1 file" in done


def test_small_files_that_travelled_as_one_are_counted_once_while_they_are_cut_apart(bar):
    together = "(3 small files)"
    picture = bar(
        _resolved(3, 100),
        FileSkipped(path="c", bytes=20),
        FileStarted(path=together, bytes=100, had=0, files=3),
        BytesArrived(path=together, bytes=100, source="peer"),
    )
    assert together in picture
    picture = bar(FileVerified(path=together, digest=None), FileFinished(path="a", output="a", bytes=30))
    assert together not in picture
    assert "2 of 3 files" in picture
    picture = bar(FileFinished(path="b", output="b", bytes=50), FINISHED)
    assert "100 B of 100 B (100 %), 0 B/s, 3 of 3 files" in picture


def test_an_unknown_total_has_no_percentage(bar):
    picture = bar(
        _resolved(1, 0), FileStarted(path="a", bytes=None, had=0), BytesArrived(path="a", bytes=70, source="hub")
    )
    assert "70 B, 0 B/s, 0 of 1 file" in picture
    assert "%" not in picture
    assert "left" not in picture


def test_trouble_is_named_until_bytes_flow_again(bar):
    started = FileStarted(path="a", bytes=100, had=0)
    picture = bar(_resolved(1, 100), started, Retrying(path="a", cause="the hub answered 503", after=4.0))
    assert "trying again in 4.0 s: the hub answered 503" in picture
    assert "1 retry" in picture
    assert "nothing for 30 s, waiting for the hub" in bar(Stalled(path="a", seconds=30, cause="the hub"))
    picture = bar(BytesArrived(path="a", bytes=1, source="hub"))
    assert "waiting" not in picture
    assert "1 B of 100 B" in picture


def test_many_files_are_a_few_lines_and_a_count(bar):
    picture = bar(_resolved(50, 50), *(FileStarted(path=f"f{i}", bytes=1, had=0) for i in range(SHOWN_FILES + 3)))
    assert picture.count("of 1 B\n") + picture.count("of 1 B ") >= SHOWN_FILES
    assert "… and 3 more" in picture
    assert "f8" not in picture


def test_a_files_name_cannot_drive_the_terminal_or_the_markup(bar):
    picture = bar(_resolved(1, 1), FileStarted(path="[red]a\x1b[2Jb", bytes=1, had=0))
    assert "[red]a\ufffd[2Jb" in picture
    assert "\x1b[2J" not in picture


def test_the_rate_is_that_of_the_last_seconds():
    speed = Speed(window=8.0)
    assert speed.sample(0.0, 0) == 0.0
    assert speed.sample(4.0, 400) == 100.0
    speed.sample(8.0, 400)
    speed.sample(12.0, 400)
    assert speed.sample(16.0, 400) == 0.0


@pytest.fixture
def lines():
    """Feed events with the seconds before each; read what was printed."""
    clock, tally = Clock(), Tally()

    def printed(*steps, every=10.0):
        stream = io.StringIO()
        listener = Lines(tally, stream, every=every, clock=clock)
        for after, event in steps:
            clock.now += after
            tally(event)
            listener(event)
        return stream.getvalue().splitlines()

    return printed


def test_without_a_terminal_a_line_comes_every_ten_seconds(lines):
    arrived = BytesArrived(path="a", bytes=100, source="hub")
    text = lines(
        (0, _resolved(1, 1000)),
        (0, FileStarted(path="a", bytes=1000, had=0)),
        (9.9, arrived),
        (0.1, arrived),
        (5, arrived),
        (5, arrived),
    )
    assert text == [
        "dfget: 200 B of 1.00 kB (20 %), 20 B/s, 0 of 1 file, about 40 s left",
        "dfget: 400 B of 1.00 kB (40 %), 20 B/s, 0 of 1 file, about 30 s left",
    ]


def test_a_hub_that_is_down_is_a_line_and_a_count(lines):
    trouble = Retrying(path="a", cause="the hub answered 503", after=1.0)
    text = lines((0, trouble), (0.5, trouble), (0.5, trouble), (2.0, trouble), every=math.inf)
    assert text == [
        "dfget: a: the hub answered 503; trying again in 1.0 s",
        "dfget: a: the hub answered 503; trying again in 1.0 s (and 2 more since the last such line)",
    ]


@pytest.mark.parametrize(
    ("path", "cause", "said"),
    [
        ("http://hub:8000", "hub:8000: connection refused", "hub:8000: connection refused"),
        ("https://hub:443", "hub: the host name cannot be resolved", "hub: the host name cannot be resolved"),
        ("http://hub:8000", "http://hub:8000/api answered 503", "http://hub:8000/api answered 503"),
        ("a.bin", "a.bin: http://hub/a.bin answered 503", "a.bin: http://hub/a.bin answered 503"),
        ("a", "answered 503", "a: answered 503"),
        ("http://hub:8000", "cdn: connection refused", "http://hub:8000: cdn: connection refused"),
    ],
)
def test_trouble_names_once_what_it_is_about(lines, path, cause, said):
    assert lines((0, Retrying(path=path, cause=cause, after=1.0)), every=math.inf) == [
        f"dfget: {said}; trying again in 1.0 s"
    ]


def test_before_the_files_are_listed_no_bytes_of_none_are_counted(lines):
    trouble = Retrying(path="http://hub:8000", cause="hub:8000: connection refused", after=1.0)
    assert lines((0, trouble), (11, trouble))[1:] == [
        "dfget: hub:8000: connection refused; trying again in 1.0 s",
        "dfget: asking for the list of files, 2 retries",
    ]


def test_no_time_until_the_next_try_is_at_once(lines):
    assert lines((0, Retrying(path="a", cause="connection lost", after=0.01)), every=math.inf) == [
        "dfget: a: connection lost; trying again at once"
    ]


def test_warnings_and_stalls_are_said_at_once_and_clean(lines):
    text = lines((0, Warned(message="odd\x07 hub")), (0, Stalled(path="a\r", seconds=60, cause="the hub")))
    assert text == ["dfget: warning: odd\ufffd hub", "dfget: a\ufffd: nothing for 1 min, waiting for the hub"]
