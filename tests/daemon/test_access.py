"""Who may have what: the source says it, for the caller's own options; a blob's id opens nothing."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dfly.config import Fetch, Joining, Network, Patience
from dfly.daemon.admission import Admissions, Admitted, Caller, Declined, options_from
from dfly.daemon.client import Daemon
from dfly.daemon.finding import find, trusted
from dfly.daemon.protocol import Channel
from dfly.daemon.records import Record, Records
from dfly.daemon.reopening import Reopening
from dfly.daemon.seating import Seating
from dfly.errors import AccessDenied, SwarmError, UsageError
from dfly.origin.backends import Backends
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.memory import MemoryOptions, memory_backend
from dfly.values import Digest, Entry, Snapshot
from dfly.wire import Ask, Resolved
from tests.claims import claiming
from tests.daemon.conftest import MIB, QUICK, Borrowing, some_bytes, tree, until

SECRET = some_bytes(MIB, 42)


@pytest.fixture
def private():
    return memory_backend({"vault": {"secret.bin": SECRET}}, token="open sesame")


@pytest.fixture
def other_scheme():
    """A second hub, that somebody else runs: it claims what it does not have."""
    return claiming(SECRET)


@pytest.fixture
def plugins(private, other_scheme):
    return Plugins(extra=[private, other_scheme])


TOKEN = {"memory": {"token": "open sesame"}}


def test_a_private_snapshot_needs_the_callers_own_token_each_time(start, fetch, here):
    start()
    fetch("memory://vault", "out", recursive=True, options=TOKEN)
    with pytest.raises(AccessDenied):
        fetch("memory://vault", "again", recursive=True)
    with pytest.raises(AccessDenied):
        fetch("memory://vault", "again", recursive=True, options={"memory": {"token": "wrong"}})
    assert not (here / "again").exists()
    assert fetch("memory://vault", "again", recursive=True, options=TOKEN).sources == {"cache": MIB}


def test_a_source_that_claims_anothers_digest_is_not_given_its_content(start, fetch, here):
    start()
    fetch("memory://vault", "out", recursive=True, options=TOKEN)
    with pytest.raises(Exception, match="sha256 is"):
        fetch("liar://bait", "stolen", recursive=True)
    assert not list((here / "stolen").rglob("secret.bin"))
    assert fetch("memory://vault", "again", recursive=True, options=TOKEN).sources == {"cache": MIB}


def test_nor_after_a_restart(start, fetch, here):
    running = start()
    fetch("memory://vault", "out", recursive=True, options=TOKEN)
    running.stop()
    start()
    with pytest.raises(Exception, match="sha256 is"):
        fetch("liar://bait", "stolen", recursive=True)
    assert fetch("memory://vault", "again", recursive=True, options=TOKEN).sources == {"cache": MIB}


def test_another_source_that_really_has_it_delivers_it_once(start, fetch, here, private):
    private.hub.commit("mirror", {"copied.bin": SECRET})
    start()
    fetch("memory://vault", "out", recursive=True, options=TOKEN)
    assert fetch("memory://mirror", "a", recursive=True, options=TOKEN).sources == {"hub": MIB}
    assert fetch("memory://mirror", "b", recursive=True, options=TOKEN).sources == {"cache": MIB}
    assert tree(here / "b") == {"copied.bin": SECRET}


def test_nor_does_it_get_it_by_a_seed_peer_that_has_it(start, fetch, here, plugins, tmp_path):
    config = SeedPeerConfig(data_dir=str(tmp_path / "seed"), listen=("127.0.0.1", 0), patience=QUICK)
    with SeedPeer(config, plugins=plugins).running() as url:
        start(joining=Joining(seed_peers=(url,), interface="127.0.0.1", settle=0.5))
        fetch("memory://vault", "out", recursive=True, options=TOKEN)
        with pytest.raises(Exception, match="sha256 is"):
            fetch("liar://bait", "stolen", recursive=True)
        assert not list((here / "stolen").rglob("secret.bin"))
        assert fetch("memory://vault", "again", recursive=True, options=TOKEN).sources == {"cache": MIB}


def raw(path, *lines, answers=1):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(60)
        sock.connect(path)
        channel = Channel(sock, takes=True)
        said = []
        for line in lines:
            channel.send(line)
            said.append(channel.receive())
        return said


ASK = {"t": "ask", "version": 1, "url": "memory://vault", "recursive": True, "options": {}, "concurrency": 1}


@pytest.mark.parametrize(
    "line",
    [
        {"t": "bring", "entries": [0]},
        {**ASK, "version": 99},
        {**ASK, "url": 5},
        {**ASK, "options": []},
        {**ASK, "recursive": "yes"},
        {"t": "lend", "blob": "sha256-" + "0" * 64},
    ],
)
def test_a_line_that_makes_no_sense_is_refused(start, line):
    where = start().where.socket
    (said,) = raw(where, line)
    assert said["t"] == "error"


@pytest.mark.parametrize("entries", [[1], [-1], ["0"], [True], [0.0], {"0": 1}, None])
def test_only_what_was_listed_for_this_caller_can_be_wished_for(start, entries):
    where = start().where.socket
    _, said = raw(where, {**ASK, "options": {"token": "open sesame"}}, {"t": "bring", "entries": entries})
    assert said["t"] == "error"


def test_an_endless_line_ends_the_visit(start, monkeypatch):
    monkeypatch.setattr("dfly.daemon.visit._LONGEST", 10_000)
    where = start().where.socket
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(where)
        with contextlib.suppress(OSError):
            sock.sendall(b"{" + b"x" * 2_000_000)
        sock.settimeout(60)
        assert b"endless" in sock.recv(4096)


def test_descriptors_that_a_caller_pushes_are_not_kept(start):
    where = start().where.socket
    before = len(os.listdir("/proc/self/fd"))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(where)
        line = b'{"t": "nothing"}\n'
        with open(os.devnull) as null:
            socket.send_fds(sock, [line], [null.fileno()] * 50)
        sock.settimeout(60)
        assert sock.recv(4096)
    # the daemon may just be at something else that takes one
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)


def seating(plugins, stack, joining: Joining | None = None) -> Seating:
    backends = stack.enter_context(Backends(plugins, network=Network(), patience=Patience(tries=1)))
    return Seating(
        joining=joining or Joining(),
        client=backends.clients.data,
        backends=backends,
        plugins=plugins,
        network=Network(),
        settings=Fetch(),
        patience=Patience(),
    )


def admissions(plugins, stack, joining: Joining | None = None, **given) -> Admissions:
    return Admissions(seating=seating(plugins, stack, joining), **{"uid": 1, **given})


def test_without_a_seed_peer_and_the_source_nothing_is_even_listed(plugins, backend, monkeypatch):
    monkeypatch.setattr(backend, "list", lambda *_, **__: pytest.fail("the source was asked"))
    with contextlib.ExitStack() as stack:
        alone = admissions(plugins, stack, Joining(back_to_source=False))
        with pytest.raises(SwarmError, match="no seed peer") as caught:
            alone.admit(Caller(uid=1), Ask(url="memory://tiny", recursive=True), {}, stop=threading.Event())
    assert "without --no-back-to-source" in caught.value.hint


def test_a_stranger_who_shows_nothing_is_not_let_in_by_what_is_ambient(private):
    # as an instance role would: the source opens itself to whoever asks from this machine
    ambient = type("Ambient", (private,), {"hub": private.hub})
    ambient._place = lambda self, url: private._place(private(MemoryOptions(token=_token()), self.tools), url)
    ask, stop = Ask(url="memory://vault", recursive=True), threading.Event()
    with contextlib.ExitStack() as stack:
        found = admissions(Plugins(extra=[ambient]), stack)
        assert found.admit(Caller(uid=1), ask, {}, stop=stop).snapshot.entries
        with pytest.raises(Declined):
            found.admit(Caller(uid=2), ask, {}, stop=stop)
        assert found.admit(Caller(uid=2), ask, {"token": "their own"}, stop=stop).snapshot.entries


AWS = {
    "AWS_ACCESS_KEY_ID": "DAEMONKEY",
    "AWS_SECRET_ACCESS_KEY": "daemonsecret",
    "AWS_SESSION_TOKEN": "DAEMONSESSION",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@pytest.fixture
def keys(monkeypatch):
    """The daemon's own, as AWS tools find them."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store():
    """An object store that anybody may have put up: its URL, and what it is shown with each request."""
    shown = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            shown.append((self.headers.get("Authorization", ""), self.headers.get("X-Amz-Security-Token", "")))
            self.send_response(200)
            self.send_header("ETag", '"abc"')
            self.send_header("Content-Length", "3")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"abc")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}", shown
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("given", [{}, {"session_token": "x"}])
def test_a_stranger_has_nothing_signed_with_the_daemons_own_keys(keys, store, given):
    from dfly_s3.backend import S3Backend

    url, shown = store
    ask, stop = Ask(url="s3://private/model"), threading.Event()
    with contextlib.ExitStack() as stack:
        found = admissions(Plugins(extra=[S3Backend]), stack)
        with pytest.raises((Declined, UsageError)):
            found.admit(Caller(uid=2), ask, {**given, "endpoint": url}, stop=stop)
        assert set(shown) <= {("", "")}
        shown.clear()
        found.admit(Caller(uid=1), ask, {"endpoint": url}, stop=stop)
        assert ["DAEMONKEY" in said for said, _ in shown] == [True] * len(shown) != []


def test_nor_when_what_they_had_is_opened_again_later(keys, store):
    from dfly_s3.backend import S3Backend

    url, shown = store
    theirs = {"access_key_id": "theirs", "secret_access_key": "s", "endpoint": url}
    ask, plugins = Ask(url="s3://private/model"), Plugins(extra=[S3Backend])
    with contextlib.ExitStack() as stack:
        admitted = admissions(plugins, stack).admit(Caller(uid=2), ask, theirs, stop=threading.Event())
        record = Record(ask=ask, resolved=admitted.resolved, swarmed=False, options=admitted.plain)
        for own, signs in (({}, False), ({"AWS_ENDPOINT_URL": url}, True)):
            shown.clear()
            reopening(plugins, stack, own).alone(record).backend().stat(record.snapshot.source)
            assert any("DAEMONKEY" in said for said, _ in shown) == signs
            assert shown


def reopening(plugins, stack, environment) -> Reopening:
    return Reopening(seating=seating(plugins, stack), closing=threading.Event(), environment=environment)


def _token():
    from dfly.backend import Secret

    return Secret("open sesame")


def test_nothing_of_the_daemons_environment_becomes_a_callers_option(monkeypatch):
    monkeypatch.setenv("DFLY_MEMORY_TOKEN", "the daemon's")
    chosen = options_from(memory_backend({}), {"revision": "x"})
    assert (chosen.token, chosen.revision) == (None, "x")


def test_what_was_resolved_for_one_is_not_believed_for_another(plugins):
    ask, stop = Ask(url="memory://vault", recursive=True), threading.Event()
    with contextlib.ExitStack() as stack:
        found = admissions(plugins, stack)
        found.admit(Caller(uid=1), ask, {"token": "open sesame"}, stop=stop)
        for uid, given in ((2, {}), (1, {}), (1, {"token": "wrong"})):
            with pytest.raises(AccessDenied):
                found.admit(Caller(uid=uid), ask, given, stop=stop)


def test_a_token_that_nobody_has_shown_for_long_is_not_kept(start, fetch, private, monkeypatch):
    for name, value in (("_TIDY", 0.01), ("_MOST_BACKENDS", 0), ("_IDLE_BACKEND", 0.0)):
        monkeypatch.setattr(f"dfly.daemon.process.{name}", value)
    closed = threading.Event()
    monkeypatch.setattr(private, "close", lambda self: closed.set() if self.settings.token else None)
    start()
    # the lender's options only: a dfget that went by itself would close a backend, too
    admitted = Daemon(fetch.lender.path).resolve(
        Ask(url="memory://vault", recursive=True), TOKEN["memory"], settings=Fetch(), stop=threading.Event()
    )
    assert admitted is not None
    assert closed.wait(60)
    admitted.close()


def test_a_visitor_for_whom_there_is_no_thread_does_not_shut_the_door(start, fetch, monkeypatch):
    start()
    begin, refused = threading.Thread.start, threading.Event()

    def fail_once(thread):
        if thread.name == "dfly-visit" and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_once)
    ask = Ask(url="memory://bare-repository", recursive=True)
    assert Daemon(fetch.lender.path).resolve(ask, {}, settings=Fetch(), stop=threading.Event()) is None
    assert refused.is_set()
    (said,) = raw(fetch.lender.path, {**ASK, "options": {"token": "open sesame"}})
    assert said["t"] == "resolved"


def test_a_socket_made_by_a_stranger_is_not_trusted(tmp_path, monkeypatch):
    path = tmp_path / "dfly.sock"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        assert trusted(str(path))
        assert find({"DFLY_SOCKET": str(path)}) == str(path)
        assert find({"XDG_RUNTIME_DIR": str(tmp_path)}) == str(path)
        if os.geteuid() == 0:
            os.chown(path, 4242, 4242)
            assert not trusted(str(path))
    (tmp_path / "file").write_text("")
    assert not trusted(str(tmp_path / "file"))
    assert not trusted(str(tmp_path / "nothing"))


def test_a_folder_that_others_can_write_is_no_place_for_the_socket(start, tmp_path):
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o777)
    with pytest.raises(UsageError, match="written by others"):
        start(socket=str(tmp_path / "open" / "dfly.sock"))


@pytest.mark.parametrize(("users", "mode"), [((), 0o600), (None, 0o666), ((4242,), 0o666)])
def test_the_socket_is_open_only_where_somebody_else_is_let_in(start, tmp_path, users, mode):
    start(users=users)
    assert (tmp_path / "run/dfly.sock").stat().st_mode & 0o777 == mode


# Two users

AS_OTHER = """
import os, sys
sys.path[:0] = {path!r}
import dfly, dfly.node.fetch, httpx, socket, asyncio, encodings.idna, encodings.ascii, httpcore
from dfly.daemon.client import Daemon
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
import tests.daemon.conftest as c
private = memory_backend({{"vault": {{"secret.bin": c.some_bytes(c.MIB, 42)}}}}, token="open sesame")
# all of it is imported by now: the interpreter may be where only root can read
os.setgroups([]); os.setgid(4242); os.setuid(4242)
os.chdir({here!r})
{body}
"""


def as_other(body, here, **names):
    here.mkdir(exist_ok=True)
    os.chown(here, 4242, 4242)
    code = AS_OTHER.format(path=[os.getcwd(), *sys.path], here=str(here), body=body.format(**names))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": root},
    )


@pytest.fixture
def open_tmp():
    """A folder that another user can reach."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dfly-users-") as folder:
        os.chmod(folder, 0o755)
        from pathlib import Path

        yield Path(folder)


@pytest.fixture
def shared(start, open_tmp, data):
    return start(users=(4242,), socket=str(open_tmp / "run" / "dfly.sock"))


def test_another_user_gets_what_its_own_token_opens_and_nothing_else(shared, open_tmp, plugins, here, data):
    mine = Borrowing(plugins, shared.where.socket)
    mine("memory://vault", "out", recursive=True, options=TOKEN)
    fetching = (
        "dfly.fetch('memory://vault', 'out', recursive=True, options={options},"
        " plugins=Plugins(extra=[private]), lender=Daemon({socket!r}))"
    )
    theirs = open_tmp / "theirs"
    refused = as_other(fetching, theirs, options={}, socket=shared.where.socket)
    assert "AccessDenied" in refused.stderr
    assert not (theirs / "out").exists()
    let_in = as_other(fetching, theirs, options=TOKEN, socket=shared.where.socket)
    assert let_in.returncode == 0, let_in.stderr
    assert (theirs / "out/secret.bin").read_bytes() == SECRET
    assert (theirs / "out/secret.bin").stat().st_uid == 4242


def test_another_user_cannot_change_the_cache(shared, open_tmp, plugins, data):
    mine = Borrowing(plugins, shared.where.socket)
    mine("memory://vault", "out", recursive=True, options=TOKEN)
    (blob,) = (path for path in (data / "blobs").rglob("data"))
    before = (blob.read_bytes(), blob.stat().st_mode, blob.stat().st_nlink)
    tried = as_other(
        """
import contextlib, errno
loan = Daemon({socket!r}).resolve(
    __import__('dfly.wire').wire.Ask(url='memory://vault', recursive=True), {{'token': 'open sesame'}},
    settings=__import__('dfly.config').config.Fetch(), stop=(stop := __import__('threading').Event()))
(lent,) = loan.bring(loan.snapshot.entries, emit=lambda e: None, stop=stop)
print(len(os.pread(lent.fd, 10, 0)))
for attempt in (
    lambda: os.pwrite(lent.fd, b'x', 0),
    lambda: os.ftruncate(lent.fd, 0),
    lambda: os.fchmod(lent.fd, 0o666),
    lambda: os.open(f'/proc/self/fd/{{lent.fd}}', os.O_RDWR),
    lambda: os.setxattr(lent.fd, 'user.dfly', b'x'),
    lambda: open({blob!r}, 'rb'),
    lambda: os.listdir({data!r}),
):
    try:
        attempt()
        print('DONE')
    except OSError:
        pass
import dfly.node.lent as lent_module
lent_module.make_from(lent.fd, 'copy', hidden='hidden', link='hard')
print(os.stat('copy').st_nlink, os.stat('copy').st_uid)
""",
        open_tmp / "theirs",
        socket=shared.where.socket,
        blob=str(blob),
        data=str(data),
    )
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.split("\n") == ["10", "1 4242", ""]
    assert (blob.read_bytes(), blob.stat().st_mode, blob.stat().st_nlink) == before


def test_a_user_who_is_not_allowed_is_turned_away(start, open_tmp):
    running = start(users=(1,), socket=str(open_tmp / "run" / "dfly.sock"))
    tried = as_other(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect({socket!r}); s.sendall(b'{{'); print(s.recv(1))",
        open_tmp / "theirs",
        socket=running.where.socket,
    )
    assert tried.stdout.strip() == "b''" or "Error" in tried.stderr


def test_another_user_may_not_verify_or_list(shared, open_tmp):
    tried = as_other(
        """
import httpx
with httpx.Client(transport=httpx.HTTPTransport(uds={socket!r})) as client:
    print(client.post('http://n/v1/operator/verify').status_code, client.get('http://n/v1/operator/snapshots').status_code)
    print(client.get('http://n/healthz').status_code)
""",
        open_tmp / "theirs",
        socket=shared.where.socket,
    )
    assert tried.stdout.split() == ["403", "403", "200"], tried.stderr


def test_a_request_that_is_none_leaves_neither_a_traceback_nor_its_headers_in_the_log(start, capfd, caplog):
    """aiohttp quotes the header that it stopped at, and a hub's client sends its token."""
    url = start(listen=("127.0.0.1", 0)).where.url
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connected:
        connected.sendall(b"GET /hf HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer of-somebody\x01\r\n\r\n")
        assert b" 400 " in connected.recv(4096)
    told = "".join(capfd.readouterr()) + caplog.text
    assert "Traceback" not in told
    assert "of-somebody" not in told


def entries_of(name: str, count: int = 3) -> tuple[Entry, ...]:
    """Files of a source of this name, each with a content that all such sources share."""
    return tuple(
        Entry(f"{number}", 9, f"memory://{name}", f"memory://{name}/{number}", (Digest("sha256", f"{number:064}"),))
        for number in range(count)
    )


def admitted_to(name: str, count: int = 3) -> Admitted:
    """Whoever may have a source of this name."""
    snapshot = Snapshot(f"memory://{name}", name, entries_of(name, count), public=True)
    resolved = Resolved(task=snapshot.id, snapshot=snapshot)
    return Admitted(ask=Ask(url=snapshot.source), resolved=resolved, backend=None)


def came(records, entries, *, of):
    """The contents of `entries` have come from the source `of`."""
    admitted = admitted_to(of)
    records.note(admitted, brought=[str(entry.blob) for entry in entries])
    return admitted.snapshot.id


def test_what_came_file_by_file_is_noted_for_the_next_daemon(tmp_path):
    mine = entries_of("mine")
    with contextlib.closing(Records(str(tmp_path / "snapshots"))) as records:
        came(records, mine[:1], of="mine")
        task = came(records, mine[2:], of="mine")
    with contextlib.closing(Records(str(tmp_path / "snapshots"))) as records:
        assert records.get(task).brought == {str(entry.blob) for entry in (mine[0], mine[2])}


def test_a_record_that_grows_is_not_written_with_each_file(tmp_path, monkeypatch):
    monkeypatch.setattr("dfly.store.notes.PAUSE", 3600.0)
    (mine, *_), folder = entries_of("mine"), tmp_path / "snapshots"
    with contextlib.closing(Records(str(folder))) as records:
        came(records, [mine], of="mine")
        (file,) = folder.iterdir()
        before = file.read_bytes()
        task = came(records, entries_of("mine"), of="mine")
        assert file.read_bytes() == before
        assert len(records.get(task).brought) == 3
        records.change(task, pinned=True)
        assert file.read_bytes() != before
