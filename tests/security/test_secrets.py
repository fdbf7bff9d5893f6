"""A hub token and the cluster token pass through every process, and are found nowhere afterwards."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.security.conftest import CANARY

from dfly.cli.redaction import redact
from dfly_hf.testing import FixtureHub

HUB_TOKEN, CLUSTER_TOKEN = f"hf_{CANARY}-of-the-hub", f"{CANARY}-of-the-cluster"
FILES = {"model.bin": os.urandom(2_000_000), "config.json": b"{}", "tokenizer.json": b"[1]"}
BIN = Path(sys.executable).parent


@pytest.fixture
def run(tmp_path):
    """What a seed peer and a node said and left behind at level debug, with a private model: (texts, folders, argv)."""
    texts: dict[str, str] = {}
    argv: list[bytes] = []
    with FixtureHub() as hub, contextlib.ExitStack() as stack:
        hub.repo("o/private", FILES, private=True)
        hub.token(HUB_TOKEN, grants=["o/private"])
        env = os.environ | {"HF_ENDPOINT": hub.url, "DFLY_CLUSTER_TOKEN": CLUSTER_TOKEN}
        daemon = [BIN / "dfdaemon", "--seed-peer", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data"]
        seed = stack.enter_context(_process([*daemon, "--log-level", "debug"], env))
        url = seed.stdout.readline().split()[-1]
        node = [
            BIN / "dfget",
            "hf://o/private",
            "-r",
            "-O",
            tmp_path / "out",
            "--seed-peer",
            url,
            "--no-back-to-source",
        ]
        loud = [*node, "--seed-time", "1s", "--json", "--debug", "--log-level", "debug", "--interface", "127.0.0.1"]
        getting = stack.enter_context(_process(loud, env | {"HF_TOKEN": HUB_TOKEN}))
        argv += [Path(f"/proc/{p.pid}/cmdline").read_bytes() for p in (seed, getting)]
        texts["node out"], texts["node err"] = getting.communicate(timeout=60)
        assert getting.returncode == 0, texts["node err"]
        wrong = stack.enter_context(_process(loud, env | {"HF_TOKEN": HUB_TOKEN + "-revoked"}))
        texts["refused out"], texts["refused err"] = wrong.communicate(timeout=60)
        assert wrong.returncode == 5
        headers = {"Authorization": f"Bearer {CLUSTER_TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
            for path in ("/v1/stats", "/v1/plugins", "/healthz", "/readyz"):
                texts[path] = client.get(path).text
        seed.terminate()
        texts["seed out"], texts["seed err"] = seed.communicate(timeout=60)
        assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == FILES
        assert any(call.authorized for call in hub.calls("api"))
    return texts, [tmp_path / "data", tmp_path / "out"], argv


@contextlib.contextmanager
def _process(command, env):
    started = subprocess.Popen(
        list(map(str, command)), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def test_no_secret_is_in_any_log_event_error_argv_answer_or_file(run):
    texts, folders, argv = run
    assert "task.opened" in texts["seed err"]
    assert "HTTP Request" in texts["node err"]
    for where, text in texts.items():
        assert CANARY not in text, where
    assert CANARY.encode() not in b"".join(argv)
    kept = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert {"data", "meta", "model.bin"} <= {path.name for path in kept}
    for path in kept:
        assert CANARY.encode() not in path.read_bytes(), path
        assert not any(CANARY.encode() in os.getxattr(path, name) for name in os.listxattr(path))
        assert CANARY not in str(path)
    for where, text in texts.items():
        # what opens something without being a token: a grant, and the id of a private task
        assert not re.search(r"/v1/blobs/(?!\*)[\w-]", text), where
        assert not re.search(r"[0-9a-f]{32}-[0-9a-f]{32}", text), where


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Authorization: Bearer {CANARY}", "Authorization: *** ***"),
        (f"{{'X-Dfly-Option-hf-token': '{CANARY}'}}", "{'X-Dfly-Option-hf-token': '***'}"),
        (f"GET https://cdn.example/f?X-Amz-Signature={CANARY}&e=1", "GET https://cdn.example/f?***"),
        (f"https://me:{CANARY}@host/f", "https://***@host/f"),
        (f"GET /v1/blobs/{CANARY}/sha256-00", "GET /v1/blobs/***/sha256-00"),
        (f"/v1/snapshots/{'0' * 32}-{CANARY}/report", f"/v1/snapshots/{'0' * 32}-***/report"),
    ],
)
def test_what_other_peoples_libraries_log_is_redacted(text, shown):
    assert redact(text) == shown
