"""What is said, where, and with which exit code."""

import json

import pytest

import dfly
from dfly import errors
from dfly.cli.output import plan_text, summary
from dfly.cli.tally import Tally
from dfly.events import FileVerified, SnapshotResolved


def test_the_last_line_says_what_came_how_fast_how_sure_and_from_where(dfget):
    outcome = dfget("toy://file", "-O", "d/car.bin", "--no-progress")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "car.bin: 1 file, 2.00 MB in 0.5 s (3.00 MB/s), all verified; hub 1.50 MB\n"


def test_a_second_run_says_that_nothing_was_transferred(dfget):
    outcome = dfget("toy://there")
    assert (outcome.code, outcome.err) == (0, "car: 1 file, 7 B: already there, nothing transferred\n")


def test_what_could_not_be_verified_is_not_called_verified(toy):
    tally = Tally()
    tally(SnapshotResolved(url="toy://a", revision=None, snapshot="s", files=3, bytes=30))
    tally(FileVerified(path="a", digest="sha256:0"))
    tally(FileVerified(path="b", digest=None))
    report = toy.Report(
        url="toy://a", output=".", files=3, bytes=30, skipped=1, seconds=0, sources={"hub": 20, "peer": 0}
    )
    line = summary(report, tally.standing(), unverified=tally.unverified)
    assert line == "a: 3 files, 30 B in 0.0 s, 1 already there, 1 checked by size only (no digest known); hub 20 B"


def test_an_empty_source_is_no_file(toy):
    report = toy.Report(url="toy://a/b/", output="-", files=0, bytes=0, skipped=0, seconds=0, sources={})
    assert summary(report, Tally().standing(), unverified=0) == "b: no files, nothing to fetch"


def test_quiet_says_nothing_but_errors(dfget):
    assert dfget("toy://retrying", "-q").err == ""
    assert dfget("toy://error-NotFound", "-q").err == "dfget: NotFound happened\ndo this\n"


def test_a_dry_run_lists_on_standard_output(dfget):
    outcome = dfget("toy://file", "--dry-run", "-O", "out")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "   2.00 MB  out",
        "       ? B  b/\ufffd[31mred  (already there)",
        "2 files, 2.00 MB and 1 of unknown size; 1 to fetch (2.00 MB), the rest is there",
    ]


@pytest.mark.parametrize(
    ("sizes", "present", "total"),
    [
        ([2000], False, "1 file, 2.00 kB to fetch"),
        ([0], False, "1 file, 0 B to fetch"),
        ([2000, 1], True, "2 files, 2.00 kB: already there, nothing to fetch"),
        ([None], False, "1 file of unknown size to fetch"),
        ([None, None], False, "2 files of unknown size to fetch"),
        ([None, 2000], True, "2 files, 2.00 kB and 1 of unknown size: already there, nothing to fetch"),
        ([], False, "no files, nothing to fetch"),
    ],
)
def test_the_total_of_a_dry_run_says_what_there_is_to_do(toy, sizes, present, total):
    plan = tuple(toy.Planned(path=f"{n}", output=f"{n}", size=size, present=present) for n, size in enumerate(sizes))
    report = toy.Report(url="toy://a", output="a", files=2, bytes=0, skipped=0, seconds=0, sources={}, plan=plan)
    assert plan_text(report).splitlines()[-1] == total


def test_json_is_one_event_per_line_and_nothing_else(dfget):
    outcome = dfget("toy://file", "--json")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert (outcome.code, outcome.err) == (0, "")
    assert [e["event"] for e in events] == [
        "snapshot.resolved",
        "file.started",
        "bytes.arrived",
        "file.verified",
        "file.finished",
        "task.finished",
    ]
    assert all(isinstance(e["time"], float) for e in events)
    del events[1]["time"]
    assert events[1] == {"event": "file.started", "path": "car.bin", "bytes": 2_000_000, "had": 500_000, "files": 1}


def test_a_dry_run_as_json_ends_with_what_is_missing(dfget):
    lines = [json.loads(line) for line in dfget("toy://file", "--dry-run", "--json").out.splitlines()]
    assert [line["event"] for line in lines[-3:]] == ["file.planned", "file.planned", "task.planned"]
    assert (lines[-2]["bytes"], lines[-2]["present"]) == (None, True)
    assert (lines[-1]["files"], lines[-1]["missing_files"], lines[-1]["missing_bytes"]) == (2, 1, 2_000_000)


@pytest.mark.parametrize("name", ["SourceError", "NotFound", "AccessDenied", "RateLimited", "OutputError", "TimedOut"])
def test_an_error_is_a_message_a_hint_and_its_exit_code(dfget, name):
    outcome = dfget(f"toy://error-{name}")
    assert outcome.err == f"dfget: {name} happened\ndo this\n"
    assert (outcome.code, outcome.out) == (getattr(dfly, name).exit_code, "")


def test_an_error_is_an_event_for_who_asked_for_json(dfget):
    outcome = dfget("toy://error-AccessDenied", "--json")
    (event,) = map(json.loads, outcome.out.splitlines())
    del event["time"]
    assert event == {
        "event": "error",
        "type": "AccessDenied",
        "message": "AccessDenied happened",
        "hint": "do this",
        "exit_code": errors.AccessDenied.exit_code,
    }
    assert outcome.code == event["exit_code"]


def test_a_usage_error_is_an_event_too(dfget):
    (event,) = map(json.loads, dfget("toy://file", "--json", "--nope").out.splitlines())
    assert (event["event"], event["type"], event["exit_code"]) == ("error", "UsageError", 2)


def test_a_bug_is_called_one_and_shows_no_signature(dfget):
    outcome = dfget("toy://bug")
    assert outcome.code == 1
    assert outcome.err == "dfget: ValueError: cannot parse https://hub/a?***\nthis is a bug; --debug shows where\n"


def test_debug_adds_the_traceback_without_secrets(dfget):
    for url in ("toy://bug", "toy://error-NotFound"):
        outcome = dfget(url, "--debug")
        assert "Traceback" in outcome.err
        assert "s3cret" not in outcome.err


@pytest.mark.parametrize("human", ["", "-human"])
def test_logs_are_redacted_whoever_reads_them(dfget, human):
    outcome = dfget(f"toy://log{human}", "--log-level", "info")
    assert outcome.code == 0
    assert "segment.published" in outcome.err
    assert "peer.banned" in outcome.err
    assert "Traceback" in outcome.err
    assert "not.shown" not in outcome.err
    assert "s3cret" not in outcome.err
    if not human:
        line = json.loads(outcome.err.splitlines()[0])
        assert (line["segment"], line["hf_token"], line["url"]) == (3, "***", "https://h/a?***")
