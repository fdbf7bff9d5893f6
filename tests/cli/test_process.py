"""dfget as a process: signals, pipes and terminals."""

import os
import pty
import signal
import subprocess
import threading

import pytest

from dfly.cli.failures import EXIT_BROKEN_PIPE


@pytest.fixture
def started(toy_command):
    """Start dfget over the toy hub; kills what a failed test leaves."""
    processes = []

    def start(*argv, **streams):
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        process = subprocess.Popen([*toy_command, *argv], **streams)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


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


def test_a_cancelled_task_is_an_error_event(started):
    process = started("toy://until-cancelled", "--json")
    assert b"file.started" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert b'"type":"Cancelled"' in out.splitlines()[-1]
    assert b'"exit_code":130' in out.splitlines()[-1]


@pytest.mark.parametrize("argv", [["toy://chatty", "--json"], ["toy://pipe", "-O", "-"]], ids=["events", "bytes"])
def test_a_reader_that_goes_away_ends_the_task_quietly(started, argv):
    process = started(*argv)
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == EXIT_BROKEN_PIPE


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
