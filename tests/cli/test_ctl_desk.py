"""Every subcommand that asks somebody asks whom it was told to, by what was given for that, and shows no secret."""

import json
import socket
import ssl

import pytest
import trustme
from tests.cli.ctl import Desk, ran, snapshot

COMMANDS = {
    "ls": ("ls",),
    "status": ("status", "--json"),
    "peers": ("peers", "--json"),
    "config": ("config", "--json"),
    "verify": ("verify",),
    "pin": ("pin", "hub://o/r"),
    "unpin": ("unpin", "hub://o/r"),
    "rm": ("rm", "hub://o/r"),
}
ANSWERS = {
    "snapshots": {"snapshots": []},
    "status": {},
    "peers": {},
    "config": {},
    "verify": {"right": 2, "mended": [], "lost": []},
    "pins": {"snapshots": [snapshot()]},
    "remove": {"snapshots": [], "removed": [], "staying": []},
}
ALL = pytest.mark.parametrize("argv", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    for name in (
        "DFLY_OPERATOR_TOKEN",
        "DFLY_CLUSTER_TOKEN",
        "DFLY_OPERATOR_TOKEN_FILE",
        "DFLY_CA_FILE",
        "DFLY_SOCKET",
        "DFLY_INSECURE",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def desk():
    with Desk(dict(ANSWERS)).open() as running:
        yield running


@ALL
def test_the_operator_token_comes_from_a_file(desk, capsys, tmp_path, argv):
    token = tmp_path / "token"
    token.write_text("hunter2\n")
    shown = ran(capsys, *argv, "--seed-peer", desk.url, "--operator-token-file", token)
    assert shown.code == 0, shown.err
    assert [asked.authorization for asked in desk.asked] == ["Bearer hunter2"]
    assert "hunter2" not in shown.out + shown.err


@ALL
def test_an_authority_may_be_given_for_https(capsys, tmp_path, argv):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    desk = Desk(dict(ANSWERS))
    desk.over_tls(context)
    with desk.open():
        assert ran(capsys, *argv, "--seed-peer", desk.url, "--ca-file", pem).code == 0
        refused = ran(capsys, *argv, "--seed-peer", desk.url)
    assert refused.code == 2
    assert "does not answer" in refused.err


@pytest.mark.parametrize("insecure", [None, "", "0", "false", "no"], ids=str)
def test_no_token_goes_out_in_the_clear_unless_that_is_switched_on(capsys, monkeypatch, insecure):
    monkeypatch.setenv("DFLY_OPERATOR_TOKEN", "hunter2")
    if insecure is not None:
        monkeypatch.setenv("DFLY_INSECURE", insecure)
    shown = ran(capsys, "ls", "--seed-peer", "http://seed.invalid:1")
    assert (shown.code, "plain HTTP" in shown.err) == (2, True), shown.err
    assert "hunter2" not in shown.err


@ALL
def test_where_no_daemon_is_it_says_how_to_ask_a_seed_peer(capsys, tmp_path, monkeypatch, argv):
    monkeypatch.setenv("DFLY_SOCKET", str(tmp_path / "none.sock"))
    shown = ran(capsys, *argv)
    assert shown.code == 2
    assert "--seed-peer asks a seed peer" in shown.err


@ALL
def test_what_a_seed_peer_refuses_is_said_once(desk, capsys, argv):
    said = {"error": "AccessDenied", "message": "this asks for the operator token", "hint": "give one"}
    desk.answers.update(dict.fromkeys(ANSWERS, (401, said)))
    shown = ran(capsys, *argv, "--seed-peer", desk.url)
    assert (shown.code, shown.out, shown.err) == (5, "", "dfctl: this asks for the operator token\ngive one\n")


def test_verify_names_what_is_lost_and_ends_in_exit_code_10(desk, capsys):
    desk.answers["verify"] = {"right": 2, "mended": ["a"], "lost": ["sha256-bb"]}
    shown = ran(capsys, "verify", "sha256-bb", "--seed-peer", desk.url)
    assert shown.code == 10
    assert shown.out == "2 blobs right, 1 mended, 1 lost\n  lost until it is fetched again: sha256-bb\n"
    assert desk.asked[0].body == {"blobs": ["sha256-bb"]}
    assert json.loads(ran(capsys, "verify", "--json", "--seed-peer", desk.url).out) == desk.answers["verify"]
    assert desk.asked[1].body == {"blobs": None}


def test_pin_and_unpin_say_which(desk, capsys):
    assert ran(capsys, "pin", "hub://o/r", "--seed-peer", desk.url).out == "pinned: hub://o/r@abc\n"
    assert ran(capsys, "unpin", "hub://o/r", "--seed-peer", desk.url).out == "unpinned: hub://o/r@abc\n"
    assert [asked.body["pinned"] for asked in desk.asked] == [True, False]


@pytest.mark.parametrize("held", [b"", b" \n", b"\xff\xfe"], ids=["empty", "blank", "no text"])
def test_a_token_file_without_a_token_is_said_before_anybody_is_asked(desk, capsys, tmp_path, held):
    file = tmp_path / "token"
    file.write_bytes(held)
    shown = ran(capsys, "ls", "--seed-peer", desk.url, "--operator-token-file", file)
    assert shown.code == 2
    assert str(file) in shown.err
    assert "bug" not in shown.err
    assert not desk.asked


@ALL
@pytest.mark.parametrize("url", ["http://127.0.0.1:PORT", "http://[::1", "127.0.0.1:65001", "http://999.0.0.1:1"])
def test_a_mistyped_seed_peer_is_no_bug(capsys, monkeypatch, argv, url):
    def nobody(*_, **__):
        # nor does a test ask a name server for 999.0.0.1
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    shown = ran(capsys, *argv, "--seed-peer", url)
    assert (shown.code, "bug" in shown.err) == (2, False), shown.err


def test_what_is_no_seed_peer_is_said_to_be_none(desk, capsys):
    desk.answers["snapshots"] = (404, "not found")
    shown = ran(capsys, "ls", "--seed-peer", desk.url)
    assert shown.code == 2
    assert shown.err == (
        f"dfctl: the seed peer {desk.url} answered 404, and not as a seed peer does\n"
        "dfdaemon --seed-peer says its address when it starts\n"
    )


def test_which_of_http_and_https_it_speaks_is_in_the_hint(desk, capsys):
    shown = ran(capsys, "ls", "--seed-peer", desk.url.replace("http", "https"))
    assert (shown.code, "without, write http://" in shown.err) == (2, True), shown.err
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    secure = Desk(dict(ANSWERS))
    secure.over_tls(context)
    with secure.open():
        shown = ran(capsys, "ls", "--seed-peer", secure.url)
    assert (shown.code, "--ca-file names the authority" in shown.err) == (2, True), shown.err


def test_a_bug_is_shown_as_its_message_says(desk, capsys, monkeypatch):
    desk.answers["snapshots"] = {}
    shown = ran(capsys, "ls", "--seed-peer", desk.url)
    assert shown.err == "dfctl: KeyError: 'snapshots'\nthis is a bug; DFLY_DEBUG=1 shows where\n"
    monkeypatch.setenv("DFLY_DEBUG", "1")
    assert "Traceback" in ran(capsys, "ls", "--seed-peer", desk.url).err
    monkeypatch.setenv("DFLY_DEBUG", "0")
    assert ran(capsys, "ls", "--seed-peer", desk.url).err == shown.err


def test_a_file_that_cannot_be_read_is_no_place_to_choose_another_for(desk, capsys, tmp_path):
    for argv in (
        ("import", tmp_path / "none.tar", "--seed-peer", desk.url),
        ("put", tmp_path / "none.bin", "http://127.0.0.1:1/x"),
    ):
        shown = ran(capsys, *argv)
        assert (shown.code, "No such file or directory\ncheck the path" in shown.err) == (11, True), shown.err
        assert "-O" not in shown.err


def test_a_place_that_cannot_be_written_to_is_chosen_with_the_flag_that_there_is(desk, capsys, tmp_path):
    (tmp_path / "file").touch()
    desk.answers["export"] = {}
    desk.answers["torrents"] = {"files": [{"path": "a", "torrent": "", "bytes": 0}]}
    for argv in (
        ("export", "hub://o/r", "-o", tmp_path / "file/x.tar"),
        ("torrent", "hub://o/r", "-o", tmp_path / "file/x"),
    ):
        shown = ran(capsys, *argv, "--seed-peer", desk.url)
        assert (shown.code, "choose another place with -o" in shown.err) == (11, True), shown.err
