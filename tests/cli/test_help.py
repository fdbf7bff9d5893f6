"""--help, --version, completion and dfctl: what answers without doing anything."""

import json
import re
import subprocess
import sys
from importlib import metadata

import pytest

from dfly import errors
from dfly.cli import dfctl
from dfly.cli.dfget import dfget as command
from dfly.cli.manual import EXIT_CODES
from dfly.cli.options import declared_flags
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig


def _codes_in_the_tree(kind=errors.DflyError):
    yield kind.exit_code
    for child in kind.__subclasses__():
        yield from _codes_in_the_tree(child)


def _codes_in_the_docstring():
    drawn = re.findall(r"^[ │├└─]*(\w+) +(\d+)\b", errors.__doc__, re.MULTILINE)
    return {name: int(code) for name, code in drawn}


def test_exit_codes_in_the_help_the_docstring_and_the_tree_are_the_same():
    drawn = _codes_in_the_docstring()
    assert {name: getattr(errors, name).exit_code for name in drawn} == drawn
    assert set(drawn.values()) == set(_codes_in_the_tree()) == EXIT_CODES.keys() - {0}


def test_help_names_every_flag_every_exit_code_and_the_plugins_own(dfget):
    outcome = dfget("--help")
    assert (outcome.code, outcome.err) == (0, "")
    for flag in declared_flags(command):
        assert re.search(rf"{re.escape(flag)}\b", outcome.out), flag
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^ *{code}  {re.escape(meaning)}", outcome.out, re.MULTILINE), code
    assert "toy://  The toy shop [all floors]" in outcome.out
    assert "boat://, ship://  Boats" in outcome.out
    assert "dfget toy://shelf/car -O car" in outcome.out


def test_help_shows_a_plugins_defaults_and_variables_but_no_secret(dfget, monkeypatch):
    monkeypatch.setenv("TOY_TOKEN", "s3cret")
    monkeypatch.setenv("DFLY_TOY_TOKEN", "s3cret")
    text = re.sub(r"[│\s]+", " ", dfget("--help").out)
    assert "which toys (default: red). env: DFLY_TOY_COLOR" in text
    assert "opens [private] toys. env: TOY_TOKEN, DFLY_TOY_TOKEN" in text
    assert "s3cret" not in text


def test_help_beside_a_url_shows_all_plugins(dfget):
    assert "--boat-size" in dfget("toy://file", "-h").out


def test_help_names_a_broken_plugin_and_goes_on(dfget, toy, tmp_path, monkeypatch):
    outcome = dfget("--help", plugins=_with_broken(toy, tmp_path, monkeypatch))
    assert outcome.code == 0
    assert "--toy-token" in outcome.out
    assert re.search(r"dfly-plugin-bad.*ImportError: no wheel", outcome.out)


def test_a_broken_plugin_is_blamed_when_its_url_is_asked_for(dfget, toy, tmp_path, monkeypatch):
    outcome = dfget("bad://file", "--bad-token", "x", plugins=_with_broken(toy, tmp_path, monkeypatch))
    assert outcome.code == errors.PluginError.exit_code
    assert "dfly-plugin-bad" in outcome.err


def test_all_schemes_of_a_broken_plugin_give_its_one_reason(toy, tmp_path, monkeypatch):
    plugins = _with_broken(toy, tmp_path, monkeypatch, schemes=("bad", "worse"))
    plugins.load_all()
    assert {broken.reason for broken in plugins.broken()} == {"ImportError: no wheel"}


def test_dfctl_plugins_lists_usable_and_broken_ones(toy, tmp_path, monkeypatch, capsys):
    plugins = _with_broken(toy, tmp_path, monkeypatch)
    assert dfctl.run(["plugins", "--json"], plugins=plugins) == 0
    found = json.loads(capsys.readouterr().out)
    (toys,) = found["plugins"]
    assert (toys["scheme"], toys["distribution"]) == ("toy", "")
    assert toys["flags"][0] == {
        "flags": ["--toy-token"],
        "env": ["TOY_TOKEN", "DFLY_TOY_TOKEN"],
        "help": "opens [private] toys",
        "secret": True,
    }
    assert found["broken"] == [{"scheme": "bad", "distribution": "dfly-plugin-bad", "reason": "ImportError: no wheel"}]

    assert dfctl.run(["plugins"], plugins=plugins) == 0
    text = capsys.readouterr().out
    assert "--toy-header, --header" in text
    assert re.search(r"bad:// +dfly-plugin-bad cannot be used: ImportError: no wheel", text)


def test_dfctl_plugins_shows_those_of_a_seed_peer_as_its_own(tmp_path, capsys):
    assert dfctl.run(["plugins", "--json"], plugins=Plugins()) == 0
    here = json.loads(capsys.readouterr().out)["plugins"]
    config = SeedPeerConfig(data_dir=str(tmp_path / "seed"), listen=("127.0.0.1", 0))
    none = Plugins(entry_points=metadata.EntryPoints())
    with SeedPeer(config, plugins=Plugins()).running() as url:
        capsys.readouterr()
        assert dfctl.run(["plugins", "--json", "--seed-peer", url], plugins=none) == 0
        assert json.loads(capsys.readouterr().out) == {"plugins": here, "broken": []}
        assert dfctl.run(["plugins", "--seed-peer", url], plugins=none) == 0
        assert "--http-header, --header" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ls", "verify", "peers", "export", "import", "torrent", "pin", "rm", "preheat"])
def test_dfctls_help_has_brackets_only_where_something_may_be_left_out(capsys, name):
    assert dfctl.run([name, "--help"], plugins=Plugins()) == 0
    usage = next(line for line in capsys.readouterr().out.splitlines() if "Usage:" in line)
    assert not re.search(r"\[\[|\.\.\.[\]}]", usage), usage


def test_dfctl_without_plugins_says_how_to_get_one(capsys):
    empty = Plugins(entry_points=metadata.EntryPoints())
    assert dfctl.run(["plugins"], plugins=empty) == 0
    assert "pip install dfly-plugin-" in capsys.readouterr().out


def test_dfctl_reports_usage_errors_like_dfget(capsys):
    assert dfctl.run(["plugin"], plugins=Plugins()) == 2
    said = capsys.readouterr().err
    assert re.match(r"dfctl: No such command 'plugin'.*'plugins'", said)
    assert said.endswith("\ndfctl --help lists the commands\n")
    for argv in (["ls", "--nope"], ["pin"], ["torrent", "x", "--days", "none"], ["ls", "--seed-peer"]):
        assert dfctl.run(argv, plugins=Plugins()) == 2
        assert capsys.readouterr().err.endswith(f"\ndfctl {argv[0]} --help lists the flags\n")


def test_dfctls_help_says_what_its_exit_codes_mean(capsys):
    assert dfctl.run(["--help"], plugins=Plugins()) == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    for name in ("UsageError", "NotFound", "AccessDenied", "SwarmError"):
        assert re.search(rf"\b{getattr(errors, name).exit_code} [a-z]", shown.partition("Exit codes")[2]), name


def test_the_installed_commands_tell_their_version(installed):
    for name in ("dfget", "dfctl"):
        outcome = installed(name, "--version")
        assert (outcome.code, outcome.err) == (0, "")
        assert re.fullmatch(r"dfly \d+\.\d+\.\d+\S*\n", outcome.out)


def test_version_imports_nothing_heavy_and_no_plugin():
    script = """
import sys
from dfly.cli.dfget import run
from dfly.plugins import Plugins
plugins = Plugins()
assert run(["--version"], plugins=plugins) == 0
heavy = {"httpx", "aiohttp", "libtorrent", "structlog", "rich", "asyncio", "dfly.node"}
heavy |= {claim.module for claim in plugins.found()}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["[]"]


def test_help_imports_no_engine():
    script = """
import sys
from importlib.metadata import EntryPoints
from dfly.cli.dfget import run
from dfly.plugins import Plugins
assert run(["--help"], plugins=Plugins(entry_points=EntryPoints())) == 0
print(sorted({"httpx", "aiohttp", "libtorrent", "structlog", "dfly.node"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_each_shell_is_shown(installed, shell):
    outcome = installed("dfget", "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert outcome.code == 0
    assert "_DFGET_COMPLETE" in outcome.out


def test_completion_offers_the_plugins_flags(toy_command):
    environment = {"_DFGET_COMPLETE": "complete_bash", "COMP_WORDS": "dfget -r --toy-", "COMP_CWORD": "2"}
    done = subprocess.run(toy_command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["--toy-token", "--toy-color", "--toy-header"]


def test_completion_offers_the_words_that_a_flag_takes(toy_command):
    environment = {"_DFGET_COMPLETE": "complete_bash", "COMP_WORDS": "dfget --log-level ", "COMP_CWORD": "2"}
    done = subprocess.run(toy_command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["debug", "info", "warning", "error"]


def _with_broken(toy, tmp_path, monkeypatch, schemes=("bad",)):
    """Plugins with the toy hub and a distribution whose plugin cannot load what it needs."""
    module = f"bad_plugin_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{module}.py").write_text(
        "import dfly\n@dfly.hookimpl\ndef dfly_backends():\n    raise ImportError('no wheel')\n"
    )
    info = tmp_path / "dfly_plugin_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dfly-plugin-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dfly]\n" + "".join(f"{scheme} = {module}\n" for scheme in schemes))
    monkeypatch.syspath_prepend(tmp_path)
    distribution = metadata.Distribution.at(info)
    return Plugins(extra=[toy.Toys], entry_points=metadata.EntryPoints(distribution.entry_points))
