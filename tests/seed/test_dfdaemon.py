import os
import re
import signal
import ssl
import subprocess
import sys

import httpx
import pytest
import trustme

from dfly.cli.dfdaemon import parse_listen, run
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
from dfly.wire import Ask, Resolved

DAEMON = [sys.executable, "-c", "from dfly.cli.dfdaemon import main; main()"]


@pytest.fixture
def daemon(tmp_path):
    """Start a real process; returns it and its URL."""
    started = []

    def begin(*flags, **env):
        argv = [*DAEMON, "--seed-peer", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"), *flags]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}
        )
        started.append(process)
        line = process.stdout.readline()
        return process, re.fullmatch(r"dfdaemon: seed peer at (\S+)\n", line)[1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_the_process_says_where_it_is_and_ends_cleanly_when_told(daemon):
    process, url = daemon()
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        assert client.get("/readyz").json() == {"ready": True}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    log = process.stderr.read()
    assert "Traceback" not in log
    assert "stopping" in log


def test_the_cluster_token_comes_from_a_file_or_the_environment(daemon, tmp_path):
    (tmp_path / "token").write_text("word\n")
    _, url = daemon("--cluster-token-file", str(tmp_path / "token"))
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        assert client.get("/v1/stats").status_code == 401
        assert client.get("/v1/stats", headers={"Authorization": "Bearer word"}).status_code == 200


def test_with_a_certificate_it_answers_over_tls(daemon, tmp_path):
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    _, url = daemon("--tls-cert", str(tmp_path / "both.pem"))
    assert url.startswith("https://")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    assert httpx.get(url + "/healthz", verify=trust, trust_env=False, timeout=60).json() == {"ok": True}


def test_an_address_in_use_is_said_in_one_line(daemon, tmp_path):
    _, url = daemon()
    argv = [*DAEMON, "--seed-peer", "--listen", url.removeprefix("http://"), "--data-dir", str(tmp_path / "other")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 12
    assert "cannot listen on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--seed-peer"], "--data-dir"),
        (["--seed-peer", "--data-dir", "d", "--listen", "nowhere"], "HOST:PORT"),
        (["--seed-peer", "--data-dir", "d", "--tls-key", __file__], "--tls-cert"),
        (["--seed-peer", "--data-dir", "d", "--cluster-token-file", os.devnull], "empty"),
        (["--seed-peer", "--data-dir", "d", "--cluster-secret-file", os.devnull], "secret"),
        (["--seed-peer", "--data-dir", "d", "--revision-ttl", "soon"], "duration"),
    ],
)
def test_what_cannot_be_is_a_usage_error(argv, said, capsys):
    assert run(argv, plugins=Plugins(extra=[])) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "address"),
    [("0.0.0.0:1", ("0.0.0.0", 1)), ("[::]:65535", ("::", 65535)), ("host.example:80", ("host.example", 80))],
)
def test_addresses_are_read_with_their_port(text, address):
    assert parse_listen(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "::1:80", "host:65536", "[::1]", "[host]:x"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_listen(text)


def test_the_stored_mirror_serves_a_model_end_to_end(tmp_path):
    from dfly.packs import Freight
    from dfly.seed.peer import SeedPeer
    from dfly.seed.settings import SeedPeerConfig
    from dfly.wire import Blob, Hello, decode_message

    files = {"model.bin": os.urandom(3 << 20), "config.json": b"{}", "tokenizer.json": b"[1, 2]"}
    config = SeedPeerConfig(data_dir=str(tmp_path / "data"), listen=("127.0.0.1", 0))
    backend = memory_backend({"tiny": files})
    with (
        SeedPeer(config, plugins=Plugins(extra=[backend])).running() as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        body = Ask(url="memory://tiny", recursive=True).encode()
        resolved = Resolved.decode(client.post("/v1/snapshots", content=body).content)
        freight = Freight.of(resolved.snapshot, task=resolved.task)
        complete, grant = set(), ""
        query = {"node": "n1", "port": "6881"}
        with client.stream("GET", f"/v1/snapshots/{resolved.task}/events", params=query) as stream:
            for line in stream.iter_lines():
                message = decode_message(line.encode())
                if isinstance(message, Hello):
                    grant = message.grant
                if isinstance(message, Blob):
                    complete.add(message.blob)
                if complete == set(freight.sizes()):
                    break
        got = {}
        for blob, size in freight.sizes().items():
            answer = client.get(f"/v1/blobs/{grant}/{blob}", headers={"Range": f"bytes=0-{size - 1}"})
            assert answer.status_code == 206
            got[blob] = answer.content
        (large,) = freight.blobs
        assert got[large] == files["model.bin"]
        assert got[freight.pack.blob] == files["config.json"] + files["tokenizer.json"]
        assert client.get("/v1/stats").json()["hub_bytes"] == sum(map(len, files.values()))
