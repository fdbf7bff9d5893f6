"""A node without a plugin: what a seed peer tells of it, how much of that counts, and what goes along with a request."""

import hashlib
import json
from importlib import metadata

import attrs
import pytest

import dfly
from dfly.backend import Secret, build_options, option_fields
from dfly.cli.dfget import run
from dfly.config import Joining, Patience
from dfly.node.hearsay import acquainted
from dfly.node.travelling import secret_options, travelling
from dfly.plugins import Plugins
from dfly.plugins.hearsay import told_backends
from dfly.seed.options import schema
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.lent import lent_tools
from dfly.testing.origin import FaultyOrigin

QUICK = Patience(tries=2, first_delay=0.001, longest_delay=0.002, longest_pause=1.0)
FILES = {"a.bin": bytes(range(256)) * 3000, "sub/b.txt": b"two"}


@attrs.frozen
class BurrowOptions:
    token: Secret | None = dfly.option(help="a key", env=("BURROW_TOKEN", "CLOUD_KEY"), secret=True, travels=True)
    header: tuple[Secret, ...] = dfly.option(
        help="more keys", secret=True, travels=True, repeated=True, flags=("--more",)
    )
    depth: str = dfly.option("3", help="how deep", env=("BURROW_DEPTH",))
    own_key: Secret | None = dfly.option(help="this machine's", env=("BURROW_OWN_KEY",), secret=True)


class Burrow(dfly.Backend):
    """Holes in the ground"""

    schemes = ("burrow",)
    options = BurrowOptions

    def stat(self, url):
        raise dfly.NotAFile(url)

    def list(self, url):
        given = self.settings
        type(self).seen.append(given)
        if given.token is None or given.token.reveal() != "right" or len(given.header) != 2:
            raise dfly.AccessDenied("the hole is closed", hint="give --burrow-token")
        entries = [
            dfly.Entry(
                path,
                len(data),
                f"burrow://hole@1/{path}",
                f"burrow://hole/{path}",
                (dfly.Digest("sha256", hashlib.sha256(data).hexdigest()),),
                "1",
            )
            for path, data in FILES.items()
        ]
        return dfly.Snapshot("burrow://hole@1", "hole", entries, "1", public=True)

    def get(self, entry, start, stop):
        yield FILES[entry.url.partition("@1/")[2]][start:stop]


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch, tmp_path):
    for name in ("DFLY_SEED_PEERS", "BURROW_TOKEN", "BURROW_OWN_KEY", "CLOUD_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DFLY_NO_DAEMON", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def burrow():
    return type("Burrow", (Burrow,), {"seen": [], "__doc__": Burrow.__doc__})


@pytest.fixture
def seed_peer(burrow, tmp_path):
    config = SeedPeerConfig(data_dir=str(tmp_path / "seed"), listen=("127.0.0.1", 0), patience=QUICK)
    with SeedPeer(config, plugins=Plugins(extra=[burrow])).running() as url:
        yield url


@pytest.fixture
def client():
    with lent_tools(patience=QUICK) as tools:
        yield tools.client


def told(*changes, taken=(), private=True, **more):
    """The classes in a seed peer's answer about Burrow, of which some keys are changed."""
    alone = Plugins(extra=[Burrow], entry_points=metadata.EntryPoints())
    answer = json.loads(json.dumps(schema(alone)))
    answer["plugins"][0] |= more
    for number, change in enumerate(changes):
        answer["plugins"][0]["options"][number] |= change
    return told_backends(answer, taken=taken, private=private)


def fields_of(backend) -> dict:
    return {field.field: field for field in option_fields(backend)}


def test_what_is_told_are_the_same_options():
    all_of_use = [field for field in option_fields(Burrow) if field.travels]
    for there, here in zip(all_of_use, option_fields(told()["burrow"]), strict=True):
        assert attrs.evolve(there, env=()) == attrs.evolve(here, env=())


def test_variables_of_other_services_are_not_read_whatever_a_seed_peer_tells():
    backend = told({"env": ["CLOUD_KEY", "BURROW_TOKEN", "DFLY_CLUSTER_TOKEN", "BURROWS", "PATH", 7]})["burrow"]
    assert fields_of(backend)["token"].env == ("BURROW_TOKEN", "DFLY_BURROW_TOKEN")
    assert build_options(backend, {}, {"CLOUD_KEY": "x", "DFLY_CLUSTER_TOKEN": "y", "PATH": "z"}).token is None
    assert build_options(backend, {}, {"BURROW_TOKEN": "mine"}).token.reveal() == "mine"


def test_a_prefix_that_is_not_the_scheme_names_flags_and_no_variables():
    backend = told(prefix="cluster")["burrow"]
    token = fields_of(backend)["token"]
    assert (token.flag, token.env) == ("--cluster-token", ("BURROW_TOKEN",))
    assert build_options(backend, {}, {"DFLY_CLUSTER_TOKEN": "y"}).token is None


def test_schemes_and_prefixes_that_have_a_plugin_here_stay_with_it():
    assert told(taken={"burrow"}) == {}
    assert told(prefix="other", taken={"other"}) == {}
    assert set(told(schemes=["burrow", "mine"], prefix="b", taken={"mine"})) == {"burrow"}


@pytest.mark.parametrize(
    "change",
    [
        {"field": "__init__"},
        {"field": "a b"},
        {"field": 1},
        {"help": None},
        {"secret": "no"},
        {"env": "X"},
        {"flags": 1},
    ],
)
def test_a_plugin_that_is_told_of_in_other_words_is_none(change):
    assert told(change) == {}


@pytest.mark.parametrize("answer", [None, [], {}, {"plugins": 1}, {"plugins": [1, {}, {"schemes": 1}]}])
def test_an_answer_that_cannot_be_read_tells_of_nothing(answer):
    assert told_backends(answer, taken=(), private=True) == {}


def test_what_could_be_told_by_somebody_on_the_way_is_secret():
    plain = {"secret": False}
    assert not fields_of(told(plain)["burrow"])["token"].secret
    assert all(field.secret for field in option_fields(told(plain, private=False)["burrow"]))


def test_a_help_text_is_one_line_without_what_a_terminal_obeys():
    assert fields_of(told({"help": "a\x1b[2J\nkey"})["burrow"])["token"].help == "a [2J key"


def test_what_is_set_travels_and_what_belongs_to_the_machine_does_not():
    backend = told()["burrow"]
    env = {"BURROW_TOKEN": "t", "BURROW_OWN_KEY": "mine", "BURROW_DEPTH": "3"}
    settings = build_options(backend, {"header": ("A: 1", "B: 2")}, env)
    assert travelling(backend, settings) == {"burrow-token": "t", "burrow-header": ("A: 1", "B: 2")}
    assert secret_options(backend) == {"burrow-token", "burrow-header"}
    assert "mine" not in repr(settings)


def test_what_would_stay_on_this_machine_and_be_of_no_use_there_is_no_flag(seed_peer, capfd):
    assert run(["burrow://hole", "-r", "--burrow-own-key", "mine", "--seed-peer", seed_peer], plugins=Plugins()) == 2
    assert "No such option: --burrow-own-key" in capfd.readouterr().err


def test_the_flags_and_variables_of_a_plugin_that_is_not_here_work_through_the_swarm(
    burrow, seed_peer, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("BURROW_TOKEN", "right")
    argv = ["burrow://hole", "-O", str(tmp_path / "out"), "-r", "--more", "A: 1", "--burrow-header", "B: 2"]
    argv += ["--burrow-depth=7", "--seed-peer", seed_peer, "--json", "--log-level", "debug"]
    assert run(argv, plugins=Plugins()) == 0
    out = tmp_path / "out"
    assert {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()} == FILES
    (seen,) = burrow.seen
    assert [secret.reveal() for secret in seen.header] == ["A: 1", "B: 2"]
    assert seen.depth == "7"
    assert '"right"' not in "".join(capfd.readouterr())


def test_seed_peers_of_the_environment_tell_of_plugins_too(seed_peer, monkeypatch, capfd):
    monkeypatch.setenv("DFLY_SEED_PEERS", seed_peer)
    assert run(["burrow://hole", "-r", "--burrow-token", "wrong", "--dry-run"], plugins=Plugins()) == 5
    assert "the hole is closed\ngive --burrow-token" in capfd.readouterr().err


def test_a_program_that_calls_fetch_needs_no_plugin_either(seed_peer, tmp_path):
    options = {"burrow": {"token": "right", "header": ("A: 1", "B: 2")}}
    joining = Joining(seed_peers=(seed_peer,))
    dfly.fetch("burrow://hole", tmp_path / "out", recursive=True, options=options, joining=joining)
    assert (tmp_path / "out" / "a.bin").read_bytes() == FILES["a.bin"]


def test_help_tells_of_the_seed_peers_plugins(seed_peer, capfd):
    assert run(["--help", "--seed-peer", seed_peer], plugins=Plugins()) == 0
    assert "--burrow-token" in capfd.readouterr().out


def test_help_is_shown_where_no_seed_peer_answers(capfd):
    assert run(["--help", "--seed-peer", "http://127.0.0.1:9"], plugins=Plugins()) == 0
    assert "--seed-peer" in capfd.readouterr().out


def test_a_flag_that_the_plugin_has_not_is_a_usage_error(seed_peer, capfd):
    assert run(["burrow://hole", "--burrow-colour", "red", "--seed-peer", seed_peer], plugins=Plugins()) == 2
    assert "--burrow-colour" in capfd.readouterr().err


def test_without_the_swarm_the_answer_is_what_to_install(seed_peer, tmp_path, monkeypatch, client):
    plugins = acquainted(Plugins(), ["burrow://hole"], Joining(seed_peers=(seed_peer,)), client=client)
    joining = Joining(seed_peers=("http://127.0.0.1:9",))
    with pytest.raises(dfly.Unsupported) as caught:
        dfly.fetch("burrow://hole", tmp_path / "out", recursive=True, joining=joining, plugins=plugins)
    assert caught.value.hint == "pip install dfly-plugin-burrow"


def test_a_scheme_that_nobody_knows_names_what_to_install_and_where(seed_peer, capfd):
    assert run(["wais://x", "--seed-peer", seed_peer], plugins=Plugins()) == 2
    assert "pip install dfly-plugin-wais here, or where the seed peer is" in capfd.readouterr().err


def test_a_seed_peer_that_is_away_is_said_with_what_to_install(capfd):
    assert run(["wais://x", "--seed-peer", "http://127.0.0.1:9"], plugins=Plugins()) == 12
    said = capfd.readouterr().err
    assert "no plugin for wais:// is installed, and the seed peer http://127.0.0.1:9 cannot be reached" in said
    assert "pip install dfly-plugin-wais" in said


def test_a_seed_peer_that_talks_nonsense_is_said(client):
    with FaultyOrigin() as origin:
        origin.add("v1/plugins", b"[[[")
        with pytest.raises(dfly.SwarmError, match="in no JSON"):
            acquainted(Plugins(), ["wais://x"], Joining(seed_peers=(origin.url,)), client=client)


def test_the_cluster_token_goes_along_and_is_needed(burrow, tmp_path, capfd):
    config = SeedPeerConfig(
        data_dir=str(tmp_path / "seed"), listen=("127.0.0.1", 0), patience=QUICK, cluster_token=Secret("of-the-cluster")
    )
    with SeedPeer(config, plugins=Plugins(extra=[burrow])).running() as url:
        argv = [
            "burrow://hole",
            "-r",
            "--burrow-token=right",
            "--more=A: 1",
            "--more=B: 2",
            "--seed-peer",
            url,
            "--dry-run",
        ]
        assert run(argv, plugins=Plugins()) != 0
        assert run([*argv, "--cluster-token", "of-the-cluster"], plugins=Plugins()) == 0


def test_nobody_is_asked_where_the_plugin_is_here(burrow, client):
    with FaultyOrigin() as origin:
        joining = Joining(seed_peers=(origin.url,))
        plugins = Plugins(extra=[burrow])
        assert acquainted(plugins, ["burrow://hole"], joining, client=client) is plugins
        assert acquainted(plugins, ["burrow://hole"], Joining(), client=client) is plugins
        assert origin.requests == []
