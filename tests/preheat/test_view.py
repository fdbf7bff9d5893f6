"""What dfctl shows of a preheat."""

import io

import pytest

from dfly.cli.preheat_view import View, report_text
from dfly.cli.streams import silence

ROW = {"state": "running", "bytes": 0, "total": 1000, "seconds": 1.0, "sources": {}, "error": None}
NODE = {**ROW, "node": "n1", "location": "east/r1"}


def test_a_pipe_gets_a_line_for_each_state_and_each_tenth():
    stream = io.StringIO()
    view = View(name="a://b", stream=stream, live=False)
    for arrived in range(0, 1000, 10):
        view({**NODE, "bytes": arrived})
    view({**NODE, "state": "done", "bytes": 1000, "sources": {"peer": 1000}})
    lines = stream.getvalue().splitlines()
    assert lines[0] == "dfctl: a://b: n1 (east/r1): running, 0 % of 1.00 kB"
    assert len(lines) == 11
    assert lines[-1] == "dfctl: a://b: n1 (east/r1): done, 1.00 kB in 1.0 s; peer 1.00 kB"


def test_a_terminal_gets_one_line_that_is_gone_in_the_end():
    stream = io.StringIO()
    view = View(name="a://b", stream=stream, live=True)
    view(ROW)
    view(NODE)
    view({**NODE, "node": "n2", "state": "done"})
    view.end()
    said = stream.getvalue()
    assert "\n" not in said
    assert said.split("\r")[3] == "a://b: seed peer running, 0 % of 1.00 kB; 2 nodes: 1 done, 1 running\x1b[K"
    assert said.endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "hub://someone/a-model: seed peer running, 0 % of 1.00 kB; 1 node: 1 running"),
        (76, "hub://someone/a-model: seed peer running, 0 % of 1.00 kB; 1 node: 1 running"),
        (75, "…b://someone/a-model: seed peer running, 0 % of 1.00 kB; 1 node: 1 running"),
        (60, "…odel: seed peer running, 0 % of 1.00 kB; 1 node: 1 running"),
        (56, ": seed peer running, 0 % of 1.00 kB; 1 node: 1 running"),
        (20, ": seed peer running"),
    ],
)
def test_a_line_is_no_longer_than_its_terminal(columns, line):
    stream = io.StringIO()
    view = View(name="hub://someone/a-model", stream=stream, live=True, columns=lambda: columns)
    view(ROW)
    view(NODE)
    shown = stream.getvalue().split("\r")[2].removesuffix("\x1b[K")
    assert (shown, len(shown) < columns) == (line, True)


@pytest.mark.parametrize("live", [True, False])
def test_a_stream_that_takes_no_more_stops_no_preheat(live):
    with open("/dev/full", "w", buffering=1) as full:
        view = View(name="a://b", stream=full, live=live)
        view(ROW)
        view.end()
        silence(full)


def test_the_report_names_every_machine_and_what_went_wrong_there():
    lost = {**NODE, "state": "lost", "error": {"type": "SwarmError", "message": "went away\x1b[2J", "hint": ""}}
    done = {**ROW, "state": "done", "bytes": 1000, "sources": {"hub": 600, "cache": 400}}
    found = {"url": "a://b", "source": "a://b@1", "files": 2, "ok": False, "seed_peer": done, "nodes": [lost]}
    assert report_text([{**found, "error": None}]).splitlines() == [
        "a://b@1: 2 files (not all of it)",
        "  seed peer     done     1.00 kB in 1.0 s; cache 400 B, hub 600 B",
        "  n1 (east/r1)  lost     went away\N{REPLACEMENT CHARACTER}[2J",
    ]
