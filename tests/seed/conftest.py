import contextlib
import threading

import httpx
import pytest

from dfly.layout import Layout
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.memory import memory_backend
from dfly.testing.origin import FaultyOrigin
from dfly.wire import TICKET_HEADER, Ask, Hello, Report, Resolved, decode_message

from .located import Located
from .mirrors import HandMirror
from .rigs import Rig

#: The model has two segments and a half.
FILES = {
    "model.bin": bytes(range(256)) * (5 * Layout(1).segment_length // 512),
    "config.json": b"{}",
    "tokenizer.json": b"[1]",
    "empty": b"",
}


class Stream:
    """A node's end of an event stream; messages are read one by one."""

    def __init__(self, response):
        self.response = response
        self.lines = response.iter_lines()

    def next(self, kind=None):
        """The next message, or the next of one kind."""
        for line in self.lines:
            message = decode_message(line.encode())
            if kind is None or isinstance(message, kind):
                return message
        return None


class Peer:
    """A running seed peer, and what a node does with it."""

    def __init__(self, url, mirror, backend, client):
        self.url, self.mirror, self.backend, self.client = url, mirror, backend, client

    def ask(self, url="memory://tiny", *, recursive=True, headers=None, **more):
        body = Ask(url=url, recursive=recursive, **more).encode()
        return self.client.post("/v1/snapshots", content=body, headers=headers)

    def resolve(self, *args, **more):
        response = self.ask(*args, **more)
        assert response.status_code == 200, response.text
        return Resolved.decode(response.content)

    @contextlib.contextmanager
    def stream(self, task, node="n1", *, port=6881, after="", ticket="", **more):
        query = {"node": node, "port": str(port), "after": after, **more}
        headers = {TICKET_HEADER: ticket} if ticket else {}
        with self.client.stream("GET", f"/v1/snapshots/{task}/events", params=query, headers=headers) as response:
            assert response.status_code == 200, response.read()
            yield Stream(response)

    def report(self, task, node="n1", **more):
        body = Report(node=node, **more).encode()
        return self.client.post(f"/v1/snapshots/{task}/report", content=body)

    def grant(self, task, node="n1"):
        with self.stream(task, node) as stream:
            return stream.next(Hello).grant

    def bytes(self, grant, blob, start, stop, **headers):
        headers = {"Range": f"bytes={start}-{stop - 1}", **headers}
        return self.client.get(f"/v1/blobs/{grant}/{blob}", headers=headers)


@pytest.fixture
def start(tmp_path):
    """Start a seed peer over a hub in memory."""
    with contextlib.ExitStack() as stack:

        def begin(*, backend=None, token=None, publish_all=False, headers=None, **settings):
            backend = backend or memory_backend({"tiny": FILES}, token=token)
            mirrors = []

            def open_mirror(config, listener, pauses):
                mirrors.append(HandMirror(tmp_path / "blobs", listener, publish_all=publish_all))
                return contextlib.closing(mirrors[0])

            config = SeedPeerConfig(data_dir=str(tmp_path), listen=("127.0.0.1", 0), **settings)
            peer = SeedPeer(config, open_mirror=open_mirror, plugins=Plugins(extra=[backend]))
            url = stack.enter_context(peer.running())
            client = stack.enter_context(httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60))
            return Peer(url, mirrors[0], backend, client)

        yield begin


@pytest.fixture
def peer(start):
    return start()


@pytest.fixture
def rig(tmp_path):
    with FaultyOrigin() as origin, contextlib.closing(Located()) as backend, contextlib.ExitStack() as stack:
        yield Rig(origin, backend, str(tmp_path / "data"), stack)


def in_parallel(count, work):
    """What `work(i)` gives for each i, all called at once."""
    results, barrier = [None] * count, threading.Barrier(count)

    def run(i):
        barrier.wait()
        results[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
