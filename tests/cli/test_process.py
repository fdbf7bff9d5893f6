"""dfget as a process: signals, pipes and terminals."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dfly.cli.failures import EXIT_BROKEN_PIPE
from dfly.errors import OutputError

BIN = Path(sys.executable).parent


@pytest.fixture
def started(toy_command):
    """Start dfget over the toy hub; kills what a failed test leaves."""
    with contextlib.ExitStack() as stack:

        def start(*argv, **streams):
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
            process = stack.enter_context(subprocess.Popen([*toy_command, *argv], **streams))
            stack.callback(process.kill)
            return process

        yield start


def _ready(process):
    assert process.stderr.readline() == b"dfget: warning: ready\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_fetch_finish_and_tells_how_to_go_on(started, number, code):
    process = started("toy://until-cancelled")
    _ready(process)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code
    assert err.decode().splitlines()[1:] == [
        "dfget: stopping and keeping what has arrived; once more to stop at once",
        "dfget: cancelled; run the same command again to go on",
    ]


def test_a_second_ctrl_c_ends_at_once(started):
    process = started("toy://deaf")
    _ready(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == b"\n"
    assert b"once more" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_cancelled_task_is_an_error_event_with_the_code_that_the_process_ends_with(started, number, code):
    process = started("toy://until-cancelled", "--json")
    assert b"file.started" in process.stdout.readline()
    process.send_signal(number)
    out, _ = process.communicate()
    assert b'"type":"Cancelled"' in out.splitlines()[-1]
    assert f'"exit_code":{code}'.encode() in out.splitlines()[-1]
    assert process.returncode == code


def test_a_stopped_pipe_is_not_told_that_it_goes_on(started):
    process = started("toy://until-cancelled", "-O", "-")
    _ready(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert err.decode().splitlines()[1:] == ["dfget: stopping; once more to stop at once", "dfget: cancelled"]


@pytest.mark.parametrize("argv", [["toy://chatty", "--json"], ["toy://pipe", "-O", "-"]], ids=["events", "bytes"])
def test_a_reader_that_goes_away_ends_the_task_quietly(started, argv):
    process = started(*argv)
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == EXIT_BROKEN_PIPE


@pytest.mark.parametrize(
    "argv",
    [
        ["toy://file", "--json"],
        ["toy://chatty", "--json"],
        ["toy://file", "--dry-run"],
        ["toy://file", "--dry-run", "--json"],
        ["toy://pipe", "-O", "-"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_a_full_disk_below_standard_output_is_said_once_with_its_exit_code(started, argv):
    with open("/dev/full", "wb") as full:
        process = started(*argv, stdout=full)
        _, err = process.communicate()
    assert err.decode().splitlines() == [
        "dfget: standard output: the disk is full",
        "free some space and run the same command again",
    ]
    assert process.returncode == OutputError.exit_code


def test_an_error_keeps_its_exit_code_where_nothing_can_be_said(started):
    with open("/dev/full", "wb") as full:
        for argv in (["toy://error-NotFound", "--json"], ["toy://error-NotFound", "--debug"], ["toy://file", "--nope"]):
            assert started(*argv, stdout=full, stderr=full).wait() == (2 if "--nope" in argv else 4)


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["toy://retrying"], OutputError.exit_code),
        (["toy://retrying", "--json"], 0),
        (["toy://log", "-q", "--log-level", "info"], 0),
    ],
    ids=["progress", "none", "log"],
)
def test_a_full_disk_below_standard_error_stops_no_task(started, argv, code):
    with open("/dev/full", "wb") as full:
        process = started(*argv, stderr=full)
        process.communicate()
    assert process.returncode == code


def test_ctrl_c_ends_a_task_whose_log_has_lost_its_reader(started):
    process = started("toy://until-cancelled")
    _ready(process)
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_place_for_a_file(tmp_path, served, closed):
    command = [BIN / "dfget", "--no-daemon", served, "-O", tmp_path / "file"]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert (tmp_path / "file").read_bytes() == b"content"
    assert (b"1 file" in done.stderr) == ("2>&-" not in closed)


@pytest.mark.parametrize(("argv", "code"), [(["dfget", "no-url"], 2), (["dfctl", "none"], 2), (["dfdaemon", "-x"], 2)])
def test_an_error_that_nobody_can_read_still_has_its_exit_code(argv, code):
    command = [BIN / argv[0], *argv[1:]]
    assert subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], timeout=60).returncode == code


def test_dfctl_says_that_a_disk_is_full():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BIN / "dfctl", "plugins"], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr.splitlines()[0]) == (11, b"dfctl: standard output: the disk is full")


@pytest.fixture
def served(tmp_path):
    """The URL of a file on loopback."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www/content.bin").write_bytes(b"content")
    handler = partial(Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/content.bin"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_on_a_terminal_the_bar_is_drawn_and_leaves_one_line(started):
    text, code = _on_a_terminal(started, "toy://file")
    assert code == 0
    shown, _, rest = text.rpartition("\x1b[?25h")
    assert "\x1b[?25l" in shown
    assert "2.00 MB of 2.00 MB (100 %)" in shown
    assert "all verified; hub 1.50 MB" in rest


def test_no_progress_draws_nothing_on_a_terminal(started):
    text, code = _on_a_terminal(started, "toy://file", "--no-progress")
    assert code == 0
    assert text.splitlines() == ["car.bin: 1 file, 2.00 MB in 0.5 s (3.00 MB/s), all verified; hub 1.50 MB"]


def test_the_installed_dfget_says_what_is_no_source_url(installed):
    outcome = installed("dfget", "nothing-like-a-url")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("dfget: 'nothing-like-a-url' is not a source URL")


def _on_a_terminal(started, *argv):
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
    process = started(*argv, stderr=child, stdout=subprocess.DEVNULL, env=environment)
    os.close(child)
    seen = bytearray()

    def read():
        while True:
            try:
                chunk = os.read(parent, 4096)
            except OSError:  # the other end of a terminal is gone
                return
            if not chunk:
                return
            seen.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    code = process.wait()
    reader.join()
    os.close(parent)
    return seen.decode(), code
