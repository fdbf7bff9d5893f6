"""What the flags of dfget do, each seen from outside."""

import json
import time

import pytest
from tests.dfget.files import MIB, some_bytes, tree

from dfly.config import Fetch
from dfly.errors import UsageError

LARGE = some_bytes(2 * MIB)
FILES = {"config.json": b"{}", "model.bin": LARGE}


def test_one_file_goes_to_standard_output_and_nothing_else_does(hub, dfget, here):
    hub.repo("o/r", FILES)
    process = dfget.start("hf://o/r/model.bin", "-O", "-")
    out, err = process.communicate()
    assert (process.returncode, out) == (0, LARGE)
    assert b"all verified" in err
    assert tree(here) == {}


def test_wrong_bytes_on_standard_output_are_said_by_the_exit_code(hub, dfget):
    hub.repo("o/r", FILES)
    hub.fault("cdn", times=None, flip=True)
    process = dfget.start("hf://o/r/model.bin", "-O", "-")
    _, err = process.communicate()
    assert process.returncode == 10
    assert b"throw them away" in err


def test_a_stream_that_breaks_goes_on_where_it_was(hub, fetch, tmp_path):
    hub.repo("o/r", FILES)
    hub.fault("cdn", cut=700_000)
    with (tmp_path / "stdout").open("wb") as stdout:
        report = fetch("hf://o/r/model.bin", "-", stdout=stdout)
    assert (tmp_path / "stdout").read_bytes() == LARGE
    assert hub.calls("cdn")[-1].range == f"bytes=700000-{len(LARGE) - 1}"
    assert (report.bytes, fetch.arrived(), fetch.named("file.finished")[0].output) == (len(LARGE), len(LARGE), "-")


@pytest.mark.parametrize("argv", [["-r"], ["hf://o/r/config.json"], ["--json"], ["--dry-run"]])
def test_standard_output_takes_one_file_and_nothing_beside_it(hub, dfget, argv):
    hub.repo("o/r", FILES)
    told = dfget("hf://o/r/model.bin", "-O", "-", *argv)
    assert told.code == 2
    assert hub.calls("resolve", "cdn") == []


def test_a_dry_run_lists_what_it_would_do_and_does_nothing(hub, dfget, here):
    hub.repo("o/r", FILES)
    dfget("hf://o/r", "-O", "out", "-r", "--include", "*.json")
    hub.records.clear()
    told = dfget("hf://o/r", "-O", "out", "-r", "--dry-run")
    assert told.code == 0
    assert "out/config.json  (already there)" in told.out
    assert "2.10 MB  out/model.bin" in told.out
    assert "2 files, 2.10 MB; 1 to fetch (2.10 MB), the rest is there" in told.out
    assert hub.calls("resolve", "cdn") == []
    assert tree(here) == {"out/config.json": b"{}"}


def test_a_dry_run_as_json_plans_and_finishes_nothing(hub, dfget):
    hub.repo("o/r", FILES)
    told = dfget("hf://o/r", "-O", "out", "-r", "--dry-run", "--json")
    assert [event["event"] for event in told.events] == ["snapshot.resolved", *["file.planned"] * 2, "task.planned"]
    assert told.named("file.planned")[1] == {
        "event": "file.planned",
        "time": told.named("file.planned")[1]["time"],
        "path": "model.bin",
        "output": "out/model.bin",
        "bytes": len(LARGE),
        "present": False,
    }
    assert (told.named("task.planned")[0]["missing_bytes"], told.named("task.planned")[0]["files"]) == (
        len(LARGE) + 2,
        2,
    )


def test_a_dry_run_changes_nothing_on_the_disk(hub, fetch, here):
    hub.repo("o/r", FILES)
    fetch("hf://o/r", "a/b/out", recursive=True, dry_run=True)
    assert list(here.iterdir()) == []


def test_overwrite_in_a_dry_run_means_everything(hub, fetch):
    hub.repo("o/r", FILES)
    fetch("hf://o/r", "out", recursive=True)
    assert [p.present for p in fetch("hf://o/r", "out", recursive=True, dry_run=True).plan] == [True, True]
    report = fetch("hf://o/r", "out", recursive=True, dry_run=True, overwrite=True)
    assert ([p.present for p in report.plan], report.skipped) == ([False, False], 0)


@pytest.mark.parametrize("output", ["out", "-"])
def test_the_limit_holds_for_bytes_from_the_hub(hub, fetch, tmp_path, output):
    hub.repo("o/r", FILES)
    began = time.monotonic()
    with (tmp_path / "stdout").open("wb") as stdout:
        fetch("hf://o/r/model.bin", output, settings=Fetch(limit_rate=8 * MIB), stdout=stdout)
    # a quarter of a second at the limit, less a tenth that may burst
    assert time.monotonic() - began > 0.15


def test_a_source_with_too_many_files_is_refused_before_the_first_byte(hub, fetch, here):
    hub.repo("o/r", FILES)
    with pytest.raises(UsageError, match="has 2 files, more than --max-files 1"):
        fetch("hf://o/r", "out", recursive=True, max_files=1)
    assert hub.calls("resolve") == []
    fetch("hf://o/r", "out", recursive=True, max_files=1, include=["*.json"])
    assert tree(here) == {"out/config.json": b"{}"}


def test_concurrency_is_the_most_connections_at_a_time(hub, fetch):
    hub.repo("o/r", {f"{n}.bin": some_bytes(1000, seed=n) for n in range(20)})
    fetch("hf://o/r", "out", recursive=True, settings=Fetch(concurrency=1))
    assert len(hub.calls("cdn")) == 20


def test_quiet_says_nothing_but_errors(hub, dfget):
    hub.repo("o/r", FILES)
    done = dfget("hf://o/r/model.bin", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    told = dfget("hf://o/r/missing", "--quiet")
    assert told.code == 4
    assert told.err.startswith("dfget: ")


def test_the_last_line_says_what_came_how_sure_and_from_where(hub, dfget):
    hub.repo("o/r", FILES)
    done = dfget("hf://o/r", "-r")
    assert done.err.splitlines()[-1].startswith("r: 2 files, 2.10 MB in ")
    assert done.err.splitlines()[-1].endswith("all verified; hub 2.10 MB")


def test_a_file_without_any_digest_is_said_to_be_checked_by_size_only(web, dfget):
    done = dfget(web.add("a.bin", LARGE, etag=""))
    assert done.code == 0
    assert "1 checked by size only" in done.err


def test_flags_of_a_plugin_come_before_its_environment(hub, dfget):
    hub.repo("o/r", FILES)
    done = dfget("hf://o/r/config.json", "--hf-endpoint", hub.url, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.code == 0, done.err
    done = dfget("hf://o/r/config.json", "--hf-endpoint", "", HF_ENDPOINT=hub.url)
    assert done.code == 0, done.err


def test_a_pasted_link_of_the_hub_works_like_its_own_url(hub, dfget, here):
    hub.repo("o/r", FILES)
    done = dfget("https://huggingface.co/o/r/blob/main/config.json", HF_ENDPOINT=hub.url)
    assert done.code == 0, done.err
    assert tree(here) == {"config.json": b"{}"}


def test_the_json_stream_is_one_object_a_line_even_for_odd_names(hub, dfget):
    hub.repo("o/r", {"ünï \u2028 code.txt": b"x"})
    done = dfget("hf://o/r", "-r", "--json")
    assert [json.loads(line)["event"] for line in done.out.split("\n")[:-1]][-1] == "task.finished"


def test_dfctl_plugins_shows_what_is_installed(dfget):
    import subprocess

    from tests.commands import COMMAND

    done = subprocess.run([COMMAND.replace("dfget", "dfctl"), "plugins", "--json"], capture_output=True, check=True)
    found = {plugin["scheme"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
    assert {"hf", "http", "https"} <= set(found)
    assert found["hf"]["distribution"] == "dfly-plugin-hf"
    assert any("--hf-token" in flag["flags"] and flag["secret"] for flag in found["hf"]["flags"])
