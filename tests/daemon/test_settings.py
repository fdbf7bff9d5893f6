"""Where a daemon's settings come from, and that systemd hears what it waits for."""

import os
import socket

import pytest

from dfly.cli import dfdaemon, logs, node_role, seed_role
from dfly.daemon.finding import candidates, default_path
from dfly.daemon.notify import Notify
from dfly.plugins import Plugins


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Runs dfdaemon's command line up to where a node would be; gives what it would be started with."""
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    calls: list[dict] = []
    monkeypatch.setattr(node_role, "run_node", lambda **given: calls.append(given))

    def run(*argv):
        calls.clear()
        code = dfdaemon.run(list(argv), plugins=Plugins(extra=[]))
        return calls[0] if calls else code

    return run


@pytest.fixture
def config(tmp_path):
    def write(text, name="dfdaemon.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def test_the_command_line_counts_before_the_environment_before_the_file(started, config, monkeypatch):
    path = config("cache-size = '1G'")
    assert started()["cache_size"] is None
    assert started("--config", path)["cache_size"] == 1 << 30
    monkeypatch.setenv("DFLY_CACHE_SIZE", "2G")
    assert started("--config", path)["cache_size"] == 2 << 30
    assert started("--config", path, "--cache-size", "3G")["cache_size"] == 3 << 30


def test_every_kind_of_setting_can_stand_in_the_file(started, config):
    path = config(
        "join = ['https://a:1', 'https://b:2']\nrings = 7\nno-back-to-source = true\nlisten = '127.0.0.1:0'\n"
        "location = 'z/r'\nupload_limit = '5M'\nallow-user = ['0', '65534']\nsocket = '/x/y.sock'\n"
    )
    given = started("--config", path)
    joining = given["joining"]
    assert joining.seed_peers == ("https://a:1", "https://b:2")
    assert (joining.back_to_source, joining.location, joining.upload_limit) == (False, "z/r", 5 << 20)
    assert (given["rings"], given["listen"], str(given["socket"])) == (7, ("127.0.0.1", 0), "/x/y.sock")
    assert list(given["allow_user"]) == ["0", "65534"]


def test_a_number_may_stand_in_the_file_as_one(started, config):
    numbers = (
        "limit-rate = 52428800\nupload-limit = 1024\ncache-size = 1000000000\nallow-user = [0, 65534]\nrings = 3\n"
    )
    given = started("--config", config(numbers))
    assert (given["fetch"].limit_rate, given["joining"].upload_limit) == (50 << 20, 1024)
    assert (given["cache_size"], list(given["allow_user"]), given["rings"]) == (10**9, ["0", "65534"], 3)
    assert started("--config", config("limit-rate = 1024.5"))["fetch"].limit_rate == 1024


def test_a_time_may_be_a_number_of_seconds(started, config, monkeypatch):
    given = []
    monkeypatch.setattr(seed_role, "run_seed_peer", lambda **settings: given.append(settings["revision_ttl"]))
    for text in ("30", "1.5", "0", "'0s'"):
        started("--config", config(f"seed-peer = true\nrevision-ttl = {text}"))
    assert given == [30.0, 1.5, 0.0, 0.0]


def test_a_list_of_one_may_be_written_without_brackets(started, config):
    assert started("--config", config("join = 'https://a:1'"))["joining"].seed_peers == ("https://a:1",)


def test_a_mistyped_seed_peer_is_said_at_the_start(started, capsys, monkeypatch):
    assert started("--join", "http://127.0.0.1:PORT") == 2
    monkeypatch.setenv("DFLY_SEED_PEERS", "http://a:1 http://[::1")
    assert started() == 2
    assert capsys.readouterr().err.count("is not a seed peer; write http://HOST:PORT") == 2
    monkeypatch.setenv("DFLY_SEED_PEERS", "http://a:1 http://[::1]:2/")
    assert started()["joining"].seed_peers == ("http://a:1", "http://[::1]:2")


def test_a_bug_is_shown_where_the_environment_asks_for_that(started, capsys, monkeypatch):
    def bug(**_):
        raise ValueError("odd")

    monkeypatch.setattr(node_role, "run_node", bug)
    assert started() == 1
    assert capsys.readouterr().err == "dfdaemon: ValueError: odd\nthis is a bug; --debug shows where\n"
    monkeypatch.setenv("DFLY_DEBUG", "1")
    started()
    assert "Traceback" in capsys.readouterr().err


def test_the_users_own_file_is_found(started, config):
    config("rings = 3", "config/dfly/dfdaemon.toml")
    assert started()["rings"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cash-size = '1G'", "cash-size"),
        ("rings = ", "TOML"),
        ("rings = 'many'", "rings"),
        ("cache-size = 'big'", "size"),
        ("limit-rate = true", "limit-rate takes one value"),
        ("limit-rate = [1, 2]", "limit-rate takes one value"),
        ("location = {zone = 'z'}", "location takes one value"),
        ("join = [['https://a:1']]", "join takes text"),
        ("insecure = ['yes']", "insecure takes true or false"),
        ("join = 'http://127.0.0.1:PORT'", "is not a seed peer"),
        ("join = ['http://a:1', 'b:1']", "'b:1' is not a seed peer"),
    ],
)
def test_a_mistake_in_the_file_is_named(started, config, capsys, text, said):
    assert started("--config", config(text)) == 2
    assert said in capsys.readouterr().err


def test_the_environment_names_several_seed_peers_with_spaces(started, monkeypatch):
    monkeypatch.setenv("DFLY_SEED_PEERS", "http://a http://b")
    assert started()["joining"].seed_peers == ("http://a", "http://b")


def test_the_cluster_token_comes_from_a_file_or_the_environment(started, config, monkeypatch):
    assert started("--cluster-token-file", config("s3cret\n", "token"))["joining"].cluster_token == "s3cret"
    monkeypatch.setenv("DFLY_CLUSTER_TOKEN", "other")
    assert started()["joining"].cluster_token == "other"


def test_users_are_named_or_numbered_or_everybody():
    assert node_role._users(["root", "4242"]) == {0, 4242}
    assert node_role._users(["*"]) is None
    assert node_role._users([]) == set()
    with pytest.raises(Exception, match="no such user"):
        node_role._users(["nobody-of-that-name"])


def test_a_daemon_and_its_dfget_agree_on_the_place():
    for env in ({"DFLY_SOCKET": "/a/b.sock"}, {"XDG_RUNTIME_DIR": "/run/user/7"}, {}):
        for uid in (0, 7):
            assert (uid and not env) or default_path(env, uid=uid) in candidates(env)


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def test_systemd_hears_when_it_is_ready_and_when_it_stops(start, systemd, tmp_path):
    start(notify=Notify(address=str(tmp_path / "notify"))).stop()
    assert systemd.recv(1000).startswith(b"READY=1\n")
    assert systemd.recv(1000) == b"STOPPING=1"


def test_the_watchdog_is_fed_in_half_its_time():
    env = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"}
    assert Notify.of(env) == Notify("/n", 15.0)
    assert Notify.of({**env, "WATCHDOG_PID": str(os.getpid())}).watchdog == 15.0
    assert Notify.of({**env, "WATCHDOG_PID": "1"}).watchdog is None
    assert Notify.of({"WATCHDOG_USEC": "soon"}) == Notify()


def test_nobody_listening_is_no_trouble(tmp_path):
    Notify(str(tmp_path / "nothing"))("READY=1")
    Notify("@dfly-nobody")("READY=1")
    Notify()("READY=1")
