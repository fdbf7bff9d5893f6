"""Where a token goes: to its own hub, and nowhere else; not to a log, an error, an event, a child or another origin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.dfget.files import some_bytes, tree

from dfly.testing.origin import FaultyOrigin

TOKEN = "hf_" + "Sup3rS3cretT0ken" * 2
FILES = {"config.json": b"{}", "model.bin": some_bytes(1_300_000)}
LOUD = ("--debug", "--log-level", "debug", "--json", "-r", "-O", "out")


@pytest.fixture
def private(hub):
    hub.repo("o/private", FILES, private=True)
    hub.token(TOKEN, grants=["o/private"])
    return hub


def silent_about(secret: str, *texts: str) -> None:
    for text in texts:
        assert secret not in text, text
    assert any(texts)


@pytest.mark.parametrize("how", ["flag", "environment", "file"])
def test_a_token_is_used_and_shown_nowhere(private, dfget, here, tmp_path, how):
    argv, env = ["hf://o/private", *LOUD], {}
    if how == "flag":
        argv += ["--hf-token", TOKEN]
    elif how == "environment":
        env = {"HF_TOKEN": TOKEN}
    else:
        Path(tmp_path / "hf-home").mkdir()
        Path(tmp_path / "hf-home" / "token").write_text(TOKEN + "\n")
    done = dfget.installed(*argv, **env)
    assert done.code == 0, done.err
    assert tree(here / "out") == FILES
    assert all(call.authorized for call in private.calls("api", "resolve"))
    assert not any(call.authorized or call.cookies for call in private.calls("cdn"))
    silent_about(TOKEN, done.out, done.err)


@pytest.mark.parametrize(
    "fault",
    [
        {"where": "resolve", "status": 500, "body": f"you sent Bearer {TOKEN}".encode()},
        {"where": "api", "status": 403, "body": f"Authorization: Bearer {TOKEN} is no good".encode()},
        {"where": "resolve", "headers": {"X-Repo-Commit": "f" * 40}},
        {"where": "cdn", "flip": True},
    ],
    ids=["500", "403", "changed", "wrong bytes"],
)
def test_no_error_shows_a_token_not_even_one_that_the_hub_repeats(private, dfget, fault):
    private.fault(times=None, **fault)
    done = dfget("hf://o/private", *LOUD, "--timeout", "2s", HF_TOKEN=TOKEN)
    assert done.code not in (0, 2)
    silent_about(TOKEN, done.out, done.err)


def test_no_log_event_or_error_shows_a_signed_link(private, dfget):
    private.fault("cdn", cut=1000)
    done = dfget("hf://o/private", *LOUD, HF_TOKEN=TOKEN)
    assert done.code == 0, done.err
    assert any("Signature=" in call.url for call in private.calls("cdn"))
    silent_about("Signature", done.out, done.err)


def test_a_token_in_a_usage_error_is_not_repeated(private, dfget):
    for argv in (["--hf-token", TOKEN, "--no-such-flag"], [f"--hf-tokn={TOKEN}"], ["--hf-token", TOKEN + "\nX: y"]):
        done = dfget("hf://o/private", *LOUD, *argv)
        assert done.code != 0
        silent_about(TOKEN, done.out, done.err)


def test_credentials_of_a_web_link_are_used_and_shown_nowhere(dfget, here):
    with FaultyOrigin() as home, FaultyOrigin(refuse_credentials=True) as away:
        away.add("f.bin", b"content")
        home.redirect("f.bin", away.url_of("f.bin"))
        link = home.url_of("f.bin").replace("://", "://me:S3cretPassw0rd@") + "?token=QuerySecret1"
        done = dfget(link, "--header", "X-Api-Key: HeaderSecret1", *(w for w in LOUD if w != "-r"))
        assert done.code == 0, done.err
        assert home.asked("f.bin")[0].headers["x-api-key"] == "HeaderSecret1"
        assert "authorization" in home.asked("f.bin")[0].headers
        assert away.asked("f.bin")
        assert away.leaks == []
        for secret in ("S3cretPassw0rd", "HeaderSecret1", "QuerySecret1"):
            silent_about(secret, done.out, done.err)


def test_no_child_process_is_started_that_could_see_a_token(private, dfget, tmp_path):
    spy = tmp_path / "site"
    spy.mkdir()
    log = tmp_path / "children"
    (spy / "sitecustomize.py").write_text(
        "import sys\n"
        f"log = open({str(log)!r}, 'a')\n"
        "def hook(event, args):\n"
        "    if event in ('subprocess.Popen', 'os.exec', 'os.posix_spawn', 'os.system', 'os.fork'):\n"
        "        print(event, args, file=log, flush=True)\n"
        "sys.addaudithook(hook)\n"
    )
    done = dfget.installed("hf://o/private", *LOUD, HF_TOKEN=TOKEN, PYTHONPATH=str(spy))
    assert done.code == 0, done.err
    assert log.read_text() == ""
    seen = subprocess.run(
        [sys.executable, "-c", "import subprocess; subprocess.run(['true'])"],
        env={**os.environ, "PYTHONPATH": str(spy)},
        check=True,
    )
    assert seen.returncode == 0
    assert "true" in log.read_text()


def test_a_token_is_neither_in_a_partial_nor_in_any_attribute(private, dfget, here):
    private.limit_rate(100_000)
    process = dfget.start("hf://o/private", *LOUD, HF_TOKEN=TOKEN)
    for line in process.stdout:
        if b"file.started" in line and b"model.bin" in line:
            break
    process.kill()
    private.limit_rate(None)
    found = [path for path in here.rglob("*") if path.is_file()]
    assert "data" in {path.name for path in found}
    for path in found:
        assert TOKEN.encode() not in path.read_bytes()
        assert not any(TOKEN.encode() in os.getxattr(path, name) for name in os.listxattr(path))


def test_a_token_is_not_sent_where_a_renamed_repository_leads_to_another_host(private, dfget):
    with FaultyOrigin(refuse_credentials=True) as elsewhere:
        private.fault("revision", times=None, status=307, headers={"Location": f"{elsewhere.url}/api/models/o/new"})
        done = dfget("hf://o/private", *LOUD, HF_TOKEN=TOKEN, HF_ENDPOINT=private.url)
        assert done.code != 0
        assert elsewhere.requests
        assert elsewhere.leaks == []
        silent_about(TOKEN, done.out, done.err)
