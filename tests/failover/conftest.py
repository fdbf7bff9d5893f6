"""A hub, seed peers as processes that can be killed, and nodes that run `dfly.fetch` in threads."""

import os
import random
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

import dfly
from dfly.config import Joining
from dfly.events import SegmentFinished, Warned
from dfly.layout import Layout
from dfly.node.control import in_order
from dfly_hf.testing import FixtureHub

MIB = 1 << 20
SEGMENT = Layout(1).segment_length
REPO = "org/model"
#: Seconds after which a test that waits has failed.
LONG_ENOUGH = 60


def content(size, salt=0):
    return random.Random(f"{size} {salt}").randbytes(size)


@pytest.fixture
def hub(monkeypatch):
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


class Daemon:
    """A seed peer as a process, which can be killed and started again at the same place."""

    def __init__(self, data, *, port=0, **env):
        self.data, self.env, self.port = data, env, port
        self.process, self._place = None, None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def launch(self):
        argv = [sys.executable, "-c", "from dfly.cli.dfdaemon import main; main()", "--seed-peer"]
        argv += ["--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data)]
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{self.data}.log", "ab") as log:
            self.process = subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | self.env
            )

    def await_start(self):
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"dfdaemon: seed peer at http://127.0.0.1:(\d+)\n", line)[1])
        if self._place is not None:
            self._place.close()

    def start(self):
        self.launch()
        self.await_start()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        # bound, not listening: connections are refused, and nobody else is given the port until it is started again
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", self.port))

    def end(self):
        if self.process.poll() is None:
            self.kill()
        if self._place is not None:
            self._place.close()

    def stats(self):
        return httpx.get(self.url + "/v1/stats", trust_env=False, timeout=LONG_ENOUGH).json()

    @property
    def log(self):
        return Path(f"{self.data}.log").read_text()


@pytest.fixture
def daemons(tmp_path):
    """So many seed peers of one cluster, in the order in which nodes use them."""
    made = []

    def begin(count=1, *, url=f"hf://{REPO}", secret="of seed peers"):
        shared = {"DFLY_CLUSTER_SECRET": secret} if secret else {}
        made.extend(Daemon(tmp_path / f"seed{n}" / "data", **shared) for n in range(count))
        for each in made:
            each.launch()
        for each in made:
            each.await_start()
        order = in_order([each.url for each in made], url)
        return sorted(made, key=lambda each: order.index(each.url))

    yield begin
    for each in made:
        each.end()


class Node:
    """`dfly.fetch` in a thread. Its events can be waited for."""

    def __init__(self, output, joining, *, url=f"hf://{REPO}", **options):
        self.output, self.events, self.error, self.report = output, [], None, None
        self.changed, self.cancel = threading.Condition(), threading.Event()
        arguments = {
            "recursive": url == f"hf://{REPO}",
            "joining": joining,
            "options": {"hf": options},
            "on_event": self._hear,
        }
        self.thread = threading.Thread(target=self._run, args=(url, arguments))
        self.thread.start()

    def _run(self, url, arguments):
        try:
            self.report = dfly.fetch(url, f"{self.output}/", cancel=self.cancel, **arguments)
        except BaseException as error:
            self.error = error
        finally:
            with self.changed:
                self.changed.notify_all()

    def _hear(self, event):
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def has(self, count):
        """Until it has some segments of the model."""
        self.until(
            lambda _: sum(isinstance(e, SegmentFinished) and e.path == "model.bin" for e in self.events) >= count
        )

    def warnings(self):
        return [event.message for event in self.events if isinstance(event, Warned)]

    def until(self, holds, patience=LONG_ENOUGH):
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self) or self.error, patience), self.events[-5:]
        if self.error:
            raise self.error

    def done(self, patience=LONG_ENOUGH):
        self.thread.join(patience)
        assert not self.thread.is_alive(), self.events[-5:]
        if self.error:
            raise self.error
        return self.report

    def data(self, path):
        return (self.output / path).read_bytes()


@pytest.fixture
def node(tmp_path):
    """Begin a node that joins these seed peers."""
    made = []

    def begin(
        *seed_peers, settle=0.3, seed_time=2.0, back_to_source=False, interface="127.0.0.1", cluster_token="", **options
    ):
        joining = Joining(
            seed_peers=tuple(getattr(peer, "url", peer) for peer in seed_peers),
            settle=settle,
            seed_time=seed_time,
            back_to_source=back_to_source,
            interface=interface,
            cluster_token=cluster_token,
        )
        made.append(Node(tmp_path / f"node{len(made)}", joining, **options))
        return made[-1]

    yield begin
    for each in made:
        each.cancel.set()
    for each in made:
        each.thread.join(30)
