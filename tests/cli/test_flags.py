"""What a command line becomes: the arguments of `fetch`, and which plugins it asks for."""

import inspect

import attrs
import pytest

import dfly
from dfly.backend import Secret, build_options
from dfly.cli.dfget import dfget as command
from dfly.cli.options import declared_flags, source_urls
from dfly.config import Fetch, Network
from dfly.plugins import Plugins

HEX = "a" * 64


def test_without_flags_fetch_gets_its_defaults(dfget):
    assert dfget("toy://file").code == 0
    (call,) = dfget.calls
    url, output, given = call
    assert (url, output, given["options"]) == ("toy://file", None, {})
    assert (given["recursive"], given["include"], given["digest"], given["timeout"]) == (False, [], None, None)
    assert (given["settings"], given["network"]) == (Fetch(), Network())


def test_the_stand_in_is_called_as_the_real_fetch_is_and_answers_as_it_does(dfget, toy):
    from dfly.node.fetch import Planned, Report, fetch

    dfget("toy://file")
    ((url, output, given),) = dfget.calls
    inspect.signature(fetch).bind(url, output, **given)
    for ours, theirs in ((toy.Report, Report), (toy.Planned, Planned)):
        assert [field.name for field in attrs.fields(ours)] == [field.name for field in attrs.fields(theirs)]


def test_every_flag_arrives_where_it_belongs(dfget, tmp_path):
    pem = tmp_path / "a.pem"
    pem.touch()
    words = f"""toy://file -O out/ -r --include a --include b/ --exclude c --digest {HEX} --overwrite --dry-run
        --max-files 9 --concurrency 3 --limit-rate 50M --timeout 5m --ca-file {pem} --cert {pem} --key {pem} --proxy http://p:1""".split()
    assert dfget(*words).code == 0
    ((url, output, given),) = dfget.calls
    assert (url, output) == ("toy://file", "out/")
    assert (given["recursive"], given["overwrite"], given["dry_run"], given["max_files"]) == (True, True, True, 9)
    assert (given["include"], given["exclude"], given["digest"]) == (["a", "b/"], ["c"], f"sha256:{HEX}")
    assert (given["settings"], given["timeout"]) == (Fetch(concurrency=3, limit_rate=50 * 1024**2), 300.0)
    assert given["network"] == Network(ca_file=str(pem), cert=str(pem), key=str(pem), proxy="http://p:1")


def test_several_urls_are_one_call(dfget):
    assert dfget("toy://file", "boat://b", "-O", "d/").code == 0
    assert dfget.calls[0][0] == ["toy://file", "boat://b"]


def test_settings_come_from_the_environment_and_flags_win(dfget, monkeypatch):
    monkeypatch.setenv("DFLY_LIMIT_RATE", "1k")
    monkeypatch.setenv("DFLY_CONCURRENCY", "2")
    monkeypatch.setenv("DFLY_TIMEOUT", "")
    dfget("toy://file", "--concurrency", "4")
    given = dfget.calls[0][2]
    assert (given["settings"], given["timeout"]) == (Fetch(concurrency=4, limit_rate=1024), None)


def test_a_plugins_options_become_flags(dfget):
    dfget("toy://file", "--toy-token=t", "--toy-color", "blue", "--header", "A: b", "--toy-header", "C: d")
    assert dfget.calls[0][2]["options"] == {"toy": {"token": "t", "color": "blue", "header": ("A: b", "C: d")}}


def test_an_empty_plugin_option_is_not_given(dfget):
    dfget("toy://file", "--toy-token=", "--toy-color=")
    assert dfget.calls[0][2]["options"] == {}


def test_a_plugins_variable_is_left_to_the_core_so_that_spaces_survive(dfget, toy, monkeypatch):
    monkeypatch.setenv("DFLY_TOY_HEADER", "A: b c")
    monkeypatch.setenv("TOY_TOKEN", "t")
    dfget("toy://file")
    given = dfget.calls[0][2]["options"].get("toy", {})
    assert build_options(toy.Toys, given) == toy.ToyOptions(token=Secret("t"), header=("A: b c",))


def test_a_plugin_cannot_take_a_flag_of_the_core(dfget):
    dfget("toy://file", "--output", "here")
    ((_, output, given),) = dfget.calls
    assert (output, given["options"]) == ("here", {})


def test_of_two_plugins_that_want_one_flag_the_first_has_it(dfget):
    dfget("boat://file", "toy://file", "--header", "A: b", "--boat-size", "4")
    assert dfget.calls[0][2]["options"] == {"boat": {"header": "A: b", "size": "4"}}


def test_flags_of_a_plugin_that_no_url_needs_do_not_exist(dfget):
    outcome = dfget("toy://file", "--boat-size", "4")
    assert (outcome.code, outcome.out, dfget.calls) == (2, "", [])
    assert "No such option: --boat-size" in outcome.err


def test_only_the_needed_plugin_is_asked_for(dfget, toy):
    asked = []

    class Watched(Plugins):
        def backend(self, scheme):
            asked.append(scheme)
            return super().backend(scheme)

    dfget("boat://file", "--boat-size", "toy://not-a-source", plugins=Watched(extra=[toy.Toys, toy.Boats]))
    assert asked == ["boat"]


@pytest.mark.parametrize(
    ("words", "urls"),
    [
        ("-r a://b", ["a://b"]),
        ("--recursive a://b -O c://d e://f", ["a://b", "e://f"]),
        ("--x-endpoint http://h a://b", ["a://b"]),
        ("--x-endpoint=http://h a://b", ["a://b"]),
        ("-q -- a://b --c://d", ["a://b", "--c://d"]),
        ("-O - a://b", ["a://b"]),
        ("a b", []),
    ],
)
def test_source_urls_are_told_from_the_values_of_flags(words, urls):
    assert source_urls(words.split(), declared_flags(command, switches_only=True)) == urls


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("", "Missing argument 'URL'"),
        ("toy://file --concurrency 0", "'--concurrency'"),
        ("toy://file --max-files none", "'--max-files'"),
        ("toy://file --limit-rate fast", "write bytes per second"),
        ("toy://file --timeout soon", "write 30s, 5m, 2h"),
        ("toy://file --digest abc", "write sha256:"),
        ("toy://file --ca-file /not/there", "does not exist"),
        ("toy://file --log-level loud", "debug, info, warning or error"),
        ("toy://file --outptu x", "--output"),
        ("toy://file --key {pem}", "--cert"),
        ("toy://file -O - --json", "standard output"),
        ("toy://file -O - --dry-run", "-O -"),
        ("what://file", "no plugin for what://"),
    ],
)
def test_a_usage_error_says_what_to_write_and_exits_2(dfget, tmp_path, words, what):
    (tmp_path / "k.pem").touch()
    outcome = dfget(*words.format(pem=tmp_path / "k.pem").split())
    assert (outcome.code, dfget.calls) == (2, [])
    assert outcome.err.startswith("dfget: ")
    assert what in outcome.err
    assert outcome.out.count("\n") == ("--json" in words)


NO_SEED_PEERS = [
    "127.0.0.1:65001",
    "seed",
    "ftp://127.0.0.1:65001",
    "http://",
    "http://:65001",
    "http://127.0.0.1:PORT",
    "http://127.0.0.1:65536",
    "http://127.0.0.1:0",
    "http://[::1",
    "http://127.0.0.1:1/?token=s3cret",
    "http://127.0.0.1:1#x",
]


@pytest.mark.parametrize("url", NO_SEED_PEERS)
def test_what_is_no_seed_peers_url_is_said_before_anything_is_asked(dfget, url, monkeypatch):
    for argv in (["--seed-peer", url], []):
        outcome = dfget("toy://file", *argv)
        assert (outcome.code, dfget.calls) == (2, [])
        assert "is not a seed peer; write http://HOST:PORT" in outcome.err
        assert "s3cret" not in outcome.err
        monkeypatch.setenv("DFLY_SEED_PEERS", f"http://127.0.0.1:1 {url}")


def test_seed_peers_are_named_without_a_trailing_slash(dfget, monkeypatch):
    monkeypatch.setenv("DFLY_SEED_PEERS", "http://[::1]:1/ https://seed.invalid")
    dfget("toy://file")
    dfget("toy://file", "--seed-peer", "http://localhost:7300/")
    assert [call[2]["joining"].seed_peers for call in dfget.calls] == [
        ("http://[::1]:1", "https://seed.invalid"),
        ("http://localhost:7300",),
    ]


@pytest.mark.parametrize("url", NO_SEED_PEERS)
def test_the_library_says_it_too(url):
    with pytest.raises(dfly.UsageError, match="is not a seed peer"):
        dfly.fetch("toy://file", seed_peers=[url], plugins=Plugins(extra=[]))
