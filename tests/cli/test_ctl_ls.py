"""`dfctl ls` and `rm`: what is kept, as a table for people and as JSON for programs; and what is not kept any more."""

import json
import time

import pytest
from tests.cli.ctl import Desk, ran, snapshot


@pytest.fixture
def desk():
    with Desk({}).open() as running:
        yield running


def lines(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_the_latest_used_comes_first(desk, capsys):
    desk.answers["snapshots"] = {
        "snapshots": [snapshot(url="hub://old", used=1.0), snapshot(url="hub://new", used=2.0)]
    }
    shown = ran(capsys, "ls", "--seed-peer", desk.url)
    assert shown.code == 0
    assert [line[-1] for line in lines(shown.out)[1:3]] == ["hub://new", "hub://old"]
    assert shown.out.endswith("2 snapshots, 182 MB in all\n")


def test_size_age_marks_and_names_are_in_columns(desk, capsys):
    now = time.time()
    rows = [
        snapshot(resolved=now - 7260, used=now - 7260, pinned=True, imported=True, public=False),
        snapshot(url="hub://o/much/longer@abc", complete=False, here=1, revisions=[], bytes=5),
    ]
    desk.answers["snapshots"] = {"snapshots": rows}
    table = ran(capsys, "ls", "--seed-peer", desk.url).out.splitlines()
    assert table[0].split() == ["ID", "SIZE", "FILES", "HERE", "AGE", "USED", "MARKS", "REVISION", "SOURCE"]
    first, second = table[1], table[2]
    assert first.startswith("00000000  90.9 MB ")
    assert first.count("2 h 1 min") == 2
    assert "pinned,imported,private  abc (main)" in first
    assert "1 of 2" in second
    assert len({row.index("hub://") for row in (first, second)} | {table[0].index("SOURCE")}) == 1


def test_with_blobs_each_content_is_below_its_snapshot(desk, capsys):
    contents = [
        {"blob": "sha256-aa", "bytes": 5, "here": True, "files": ["a", "copy/of/a"]},
        {"blob": "alone-bb", "bytes": None, "here": False, "files": ["b"]},
    ]
    desk.answers["snapshots"] = {"snapshots": [snapshot(contents=contents)]}
    shown = ran(capsys, "ls", "--blobs", "--seed-peer", desk.url).out
    assert desk.asked[0].query == {"blobs": "1"}
    assert ["5", "B", "yes", "sha256-aa", "a", "and", "1", "more"] in lines(shown)
    assert ["?", "no", "alone-bb", "b"] in lines(shown)


def test_nothing_is_said_to_be_nothing(desk, capsys):
    desk.answers["snapshots"] = {"snapshots": []}
    assert ran(capsys, "ls", "--seed-peer", desk.url).out == "nothing is kept yet\n"


def test_json_has_every_field(desk, capsys):
    desk.answers["snapshots"] = {"snapshots": [snapshot()]}
    assert json.loads(ran(capsys, "ls", "--json", "--seed-peer", desk.url).out) == {"snapshots": [snapshot()]}


def test_what_a_source_is_called_does_not_drive_the_terminal(desk, capsys):
    desk.answers["snapshots"] = {"snapshots": [snapshot(url="hub://\x1b[31mred\nnext", revisions=["\x07"])]}
    out = ran(capsys, "ls", "--seed-peer", desk.url).out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert len(out.splitlines()) == 3


def test_rm_says_what_is_gone_and_what_is_not(desk, capsys):
    desk.answers["remove"] = {"snapshots": [snapshot()], "removed": ["a", "b"], "staying": ["c"]}
    shown = ran(capsys, "rm", "hub://o/r", "--seed-peer", desk.url)
    assert shown.out == ("removed: hub://o/r@abc\n2 blobs removed\n1 blob in use, to be given up when room is needed\n")
    assert (desk.asked[0].method, desk.asked[0].body) == ("POST", {"url": "hub://o/r", "force": False})


def test_rm_by_force_says_so(desk, capsys):
    desk.answers["remove"] = {"snapshots": [snapshot()], "removed": [], "staying": []}
    shown = ran(capsys, "rm", "hub://o/r", "--force", "--json", "--seed-peer", desk.url)
    assert desk.asked[0].body == {"url": "hub://o/r", "force": True}
    assert json.loads(shown.out) == desk.answers["remove"]


def test_a_refusal_is_said_with_what_to_do_and_an_exit_code(desk, capsys):
    desk.answers["remove"] = (409, {"error": "SwarmError", "message": "it has 3 nodes", "hint": "wait for them"})
    shown = ran(capsys, "rm", "hub://o/r", "--seed-peer", desk.url)
    assert (shown.code, shown.out, shown.err) == (12, "", "dfctl: it has 3 nodes\nwait for them\n")


def test_something_that_is_not_there_is_exit_code_4(desk, capsys):
    for command in ("rm", "pin", "unpin"):
        desk.answers["remove"] = desk.answers["pins"] = (
            404,
            {"error": "NotFound", "message": "it is not here", "kind": "snapshot"},
        )
        assert ran(capsys, command, "hub://x", "--seed-peer", desk.url).code == 4
