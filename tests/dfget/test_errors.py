"""Every way to fail: its exit code, what it says, and what it tells to do next."""

import json
import sys
from functools import partial

import attrs
import pytest
from tests.dfget.conftest import QUICK
from tests.dfget.files import some_bytes, tree

import dfly
from dfly.cli.dfget import run
from dfly.cli.manual import EXIT_CODES
from dfly.plugins import Plugins
from dfly.testing import faults
from dfly.testing.memory import memory_backend

BIG = some_bytes(1_500_000)


@attrs.frozen
class Told:
    code: int
    error: dict
    message: str
    hint: str


@pytest.fixture
def fails(capfd):
    """dfget with little patience, in this process; it must fail and say how."""

    def call(*argv, plugins=None):
        code = run([*map(str, argv), "--json"], plugins=plugins or Plugins(), fetch=partial(dfly.fetch, patience=QUICK))
        sys.stdout.flush()
        out, err = capfd.readouterr()
        events = [json.loads(line) for line in out.splitlines()]
        assert events[-1]["event"] == "error", (events[-1:], err)
        message, _, hint = err.removeprefix("dfget: ").rstrip("\n").partition("\n")
        assert (events[-1]["exit_code"], events[-1]["hint"]) == (code, err.rstrip("\n").rpartition("\n")[2])
        assert "Traceback" not in err
        return Told(code, events[-1], message, hint)

    return call


def of_type(told: Told, kind: str, code: int, *, says: str, hint: str) -> None:
    assert (told.error["type"], told.code) == (kind, code)
    assert says in told.error["message"]
    assert hint in told.error["hint"]
    assert code in EXIT_CODES


def test_an_unknown_scheme_says_what_is_installed_and_what_to_install(fails):
    told = fails("wais://host/x")
    of_type(told, "UnknownScheme", 2, says="hf", hint="pip install dfly-plugin-wais")


def test_what_is_no_url_is_a_usage_error(fails):
    of_type(fails("owner/repo"), "UsageError", 2, says="'owner/repo' is not a source URL", hint="write scheme://")


def test_a_plugin_that_cannot_start_is_a_plugin_error(fails):
    class Broken(memory_backend({})):
        def __init__(self, settings, tools):
            raise ZeroDivisionError("oops")

    told = fails("memory://r/x", plugins=Plugins(extra=[Broken]))
    of_type(told, "PluginError", 3, says="ZeroDivisionError", hint="pip install --upgrade")


def test_a_missing_and_a_private_repository_look_the_same_and_both_are_said(hub, fails):
    hub.repo("o/private", {"f": b"-"}, private=True)
    for name in ("private", "missing"):
        told = fails(f"hf://o/{name}/f")
        assert told.code in (4, 5)
        assert told.code == fails("hf://o/private/f").code
        assert "private" in told.message + told.hint
        assert "token" in told.hint


def test_a_wrong_token_does_not_open_a_private_repository(hub, fails):
    hub.repo("o/private", {"f": b"-"}, private=True)
    hub.token("hf_other")
    told = fails("hf://o/private/f", "--hf-token", "hf_other")
    of_type(told, "NotFound", 4, says="o/private", hint="")
    assert "private" in told.message + told.hint


def test_a_gated_repository_says_where_to_accept_the_terms(hub, fails, here):
    hub.repo("o/gated", {"f": b"-"}, gated=True)
    told = fails("hf://o/gated/f")
    of_type(told, "AccessDenied", 5, says="gated", hint=f"{hub.url}/o/gated")
    assert tree(here) == {}


@pytest.mark.parametrize(
    ("url", "says", "hint"),
    [
        ("hf://o/r/confg.json", "confg.json", "did you mean 'config.json'"),
        ("hf://o/r@mian/config.json", "mian", "did you mean 'main'"),
        ("hf://o/r@0123456/config.json", "0123456", "full 40 digits"),
    ],
)
def test_what_is_not_found_is_answered_with_what_comes_near(hub, fails, url, says, hint):
    hub.repo("o/r", {"config.json": b"{}"})
    of_type(fails(url), "NotFound", 4, says=says, hint=hint)


def test_a_rate_limit_that_lasts_is_said(hub, fails):
    hub.repo("o/r", {"config.json": b"{}"})
    hub.fault("api", times=None, status=429, headers={"Retry-After": "7200"})
    told = fails("hf://o/r/config.json")
    assert (told.error["type"], told.code) == ("RateLimited", 6)
    assert "token" in told.hint


def test_a_hub_that_is_not_there_is_named(fails):
    told = fails("hf://o/r/config.json", "--hf-endpoint", "http://127.0.0.1:9")
    of_type(told, "OriginUnavailable", 7, says="127.0.0.1:9", hint="check")


def test_a_hub_that_stays_broken_is_named(hub, fails):
    hub.repo("o/r", {"config.json": b"{}"})
    hub.fault("resolve", times=None, status=500)
    told = fails("hf://o/r/config.json")
    assert (told.error["type"], told.code) == ("OriginUnavailable", 7)
    assert hub.url in told.message
    assert told.hint


def test_content_of_another_commit_is_refused(hub, fails, here):
    hub.repo("o/r", {"config.json": b"{}"})
    hub.fault("resolve", times=None, headers={"X-Repo-Commit": "f" * 40})
    of_type(fails("hf://o/r/config.json"), "Changed", 8, says="f" * 40, hint="run the command again")
    assert tree(here) == {}


def test_a_folder_of_a_web_server_is_said_to_be_none(web, fails):
    web.add("models/", b"<title>Index of /models/</title>", content_type="text/html")
    told = fails(f"{web.url}/models/", "-r")
    of_type(told, "Unsupported", 9, says="is a folder", hint="HTTP has no folder listings")


def test_wrong_bytes_are_an_error_of_their_own(hub, fails, here):
    hub.repo("o/r", {"model.bin": BIG})
    hub.fault("cdn", times=None, flip=True)
    told = fails("hf://o/r/model.bin")
    of_type(told, "IntegrityError", 10, says="model.bin: sha256 is", hint="try again later or another endpoint")
    assert tree(here) == {}


def test_a_place_that_cannot_be_written_is_an_output_error(hub, fails, here):
    hub.repo("o/r", {"config.json": b"{}"})
    (here / "file").write_bytes(b"in the way")
    of_type(fails("hf://o/r/config.json", "-O", "file/x"), "OutputError", 11, says="file", hint="-O")
    assert hub.calls("resolve") == []


def test_a_seed_peer_that_is_not_there_is_a_swarm_error_where_nothing_else_is_allowed(hub, fails):
    hub.repo("o/r", {"config.json": b"{}"})
    told = fails("hf://o/r/config.json", "--seed-peer", "http://127.0.0.1:9", "--no-back-to-source")
    assert (told.error["type"], told.code) == ("SwarmError", 12)
    assert told.hint


def test_a_task_that_takes_too_long_says_how_to_go_on(hub, fails, here):
    hub.repo("o/r", {"model.bin": BIG})
    hub.limit_rate(200_000)
    told = fails("hf://o/r/model.bin", "--timeout", "0.3s")
    of_type(told, "TimedOut", 13, says="0.3 s", hint="run the same command again")
    assert "model.bin" not in tree(here)


def test_a_redirect_to_less_safety_is_not_followed_and_says_why(fails, web, secure_web):
    link = secure_web.redirect("f.bin", web.add("f.bin", b"-"))
    told = fails(link, "--ca-file", secure_web.authority)
    of_type(told, "Untrusted", 1, says="from https to plain http", hint="dfly does not follow that")


def test_a_certificate_of_nobody_is_not_trusted(fails, secure_web):
    told = fails(secure_web.add("f.bin", b"-"))
    of_type(told, "Untrusted", 1, says="certificate cannot be trusted", hint="--ca-file")


def test_a_given_authority_is_trusted(fetch, here, secure_web):
    fetch(secure_web.add("f.bin", b"safe"), network=dfly.config.Network(ca_file=str(secure_web.authority)))
    assert tree(here) == {"f.bin": b"safe"}


@pytest.mark.parametrize(
    "argv",
    [
        ["--include", "*"],
        ["--digest", "sha256:12"],
        ["--timeout", "soon"],
        ["--limit-rate", "fast"],
        ["--concurrency", "0"],
        ["-O", ""],
        ["--key", __file__],
        ["--no-such-flag"],
        ["--hf-revision", "a b"],
        ["--hf-endpoint", "ftp://x"],
    ],
)
def test_what_cannot_be_asked_for_is_a_usage_error_with_a_hint(hub, fails, argv):
    hub.repo("o/r", {"config.json": b"{}"})
    told = fails("hf://o/r/config.json", *argv)
    assert told.code == 2
    assert told.hint
    assert hub.calls("resolve") == []


def test_a_login_page_in_a_files_place_is_never_stored(web, fails, here):
    link = web.add("model.safetensors", BIG)
    web.fault("model.safetensors", faults.web_page(), times=99)
    told = fails(link)
    assert told.code == 5
    assert "web page" in told.message
    assert tree(here) == {}


def test_every_exit_code_is_that_of_a_branch_and_explained():
    branches = [dfly.DflyError]
    for kind in branches:
        branches += kind.__subclasses__()
    assert {kind.exit_code for kind in branches} | {0} == set(EXIT_CODES)
