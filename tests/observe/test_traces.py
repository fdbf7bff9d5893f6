"""One trace shows a task on the node, in its daemon and at the seed peer; and nobody pays for traces that nobody wants."""

import subprocess
import sys
from collections import Counter

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dfly import tracing
from dfly.config import Joining
from dfly.daemon.client import Daemon
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.events import BytesArrived, FileStarted, FileVerified, Retrying, TaskFinished, ignore
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.lent import QUICK
from dfly.testing.swarm import Node
from tests.swarm_e2e.files import MIB, SEGMENT, some_bytes
from tests.swarm_e2e.origin import Origin

from .reading import until

FILES = {"model.bin": some_bytes(SEGMENT + MIB), "a.json": b"a", "b.json": b"b"}


class Spans:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = tracing.traces_of(provider)

    def named(self, name):
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name):
        (span,) = self.named(name)
        return span

    def parent(self, span):
        """The name of a span's parent; it is of the same trace."""
        found = [s for s in self.exporter.get_finished_spans() if s.context.span_id == span.parent.span_id]
        assert all(s.context.trace_id == span.context.trace_id for s in found)
        return found[0].name


@pytest.fixture
def spans():
    return Spans()


@pytest.fixture
def seed_peer(tmp_path, spans):
    def start(origin):
        config = SeedPeerConfig(data_dir=str(tmp_path / "seed"), listen=("127.0.0.1", 0), patience=QUICK)
        return SeedPeer(config, plugins=Plugins(extra=[origin.backend]), traces=spans.traces).running()

    return start


def fetch(origin, output, **given):
    plugins = Plugins(extra=[origin.backend])
    return Node("memory://model", output, recursive=True, plugins=plugins, patience=QUICK, **given)


def test_one_trace_shows_the_node_and_the_seed_peer(seed_peer, spans, tmp_path):
    origin = Origin(FILES)
    with seed_peer(origin) as url:
        joining = Joining(seed_peers=(url,), seed_time=0.0, back_to_source=False)
        report = fetch(origin, tmp_path / "out", joining=joining, traces=spans.traces).done()
        until(lambda: spans.named("dfly.seed.blob"), lambda found: len(found) == 2)
    task = spans.one("dfly.fetch")
    assert task.attributes["dfly.bytes"] == report.bytes
    assert spans.one("dfly.resolve").attributes["dfly.by"] == "seed-peer"
    assert spans.parent(spans.one("dfly.resolve")) == "dfly.fetch"
    assert spans.parent(spans.one("dfly.seed.resolve")) == "dfly.resolve"
    blobs = spans.named("dfly.blob")
    assert {spans.parent(blob) for blob in blobs} == {"dfly.fetch"}
    assert sorted(blob.attributes["dfly.path"] for blob in blobs) == ["(2 small files)", "model.bin"]
    moved = Counter()
    for blob in blobs:
        assert blob.attributes["dfly.verified"]
        moved["seed-peer"] += blob.attributes.get("dfly.bytes.seed-peer", 0)
    assert moved == report.sources
    model = next(blob for blob in blobs if blob.attributes["dfly.path"] == "model.bin")
    assert model.attributes["dfly.segments"] == 2
    for blob in spans.named("dfly.seed.blob"):
        assert spans.parent(blob) == "dfly.resolve"
        assert blob.attributes["dfly.verified"]
    assert {span.context.trace_id for span in spans.exporter.get_finished_spans()} == {task.context.trace_id}


def test_a_daemons_errand_is_a_part_of_the_callers_trace(spans, tmp_path):
    origin = Origin(FILES)
    config = NodeConfig(data_dir=str(tmp_path / "node"), socket=str(tmp_path / "run" / "dfly.sock"))
    daemon = NodeDaemon(config, plugins=Plugins(extra=[origin.backend]), traces=spans.traces)
    with daemon.running() as where:
        lender = Daemon(where.socket)
        fetch(origin, tmp_path / "out", lender=lender, traces=spans.traces).done()
    errand = spans.one("dfly.errand")
    assert spans.parent(errand) == "dfly.resolve"
    below = [blob for blob in spans.named("dfly.blob") if spans.parent(blob) == "dfly.errand"]
    assert len(below) == len(FILES)
    assert sum(blob.attributes["dfly.bytes.hub"] for blob in below) == sum(map(len, FILES.values()))
    assert errand.context.trace_id == spans.one("dfly.fetch").context.trace_id


def test_a_task_that_fails_ends_its_spans_with_the_error(seed_peer, spans, tmp_path):
    origin = Origin(FILES)
    with seed_peer(origin) as url:
        node = Node(
            "memory://nobody",
            tmp_path / "out",
            recursive=True,
            plugins=Plugins(extra=[origin.backend]),
            patience=QUICK,
            joining=Joining(seed_peers=(url,)),
            traces=spans.traces,
        )
        node.error()
    for name in ("dfly.fetch", "dfly.resolve", "dfly.seed.resolve"):
        span = spans.one(name)
        assert not span.status.is_ok
        assert span.status.description.startswith("NotFound: ")


@pytest.mark.parametrize("said", ["nonsense", "00-0-0-0", "00-" + "f" * 32 + "-" + "0" * 16 + "-01", "x" * 4000])
def test_a_parent_that_is_none_is_no_parent(seed_peer, spans, said):
    origin = Origin(FILES)
    with seed_peer(origin) as url:
        body = b'{"url": "memory://nobody"}'
        headers = {"traceparent": said}
        answer = httpx.post(url + "/v1/snapshots", content=body, headers=headers, trust_env=False, timeout=60)
        assert answer.status_code in (400, 404)
    assert spans.one("dfly.seed.resolve").parent is None


def test_a_blobs_span_says_what_was_tried_and_where_its_bytes_came_from(spans):
    heard = []
    task = tracing.TaskSpans(spans.traces, spans.traces.begin("dfly.fetch"), heard.append)
    with task:
        inside = tracing.current()
        for event in (
            FileStarted(path="a", bytes=10, had=2),
            BytesArrived(path="a", bytes=5, source="hub"),
            Retrying(path="a", cause="a hiccup", after=0.1),
            BytesArrived(path="a", bytes=3, source="peer"),
            FileVerified(path="a", digest="sha256:00"),
            FileStarted(path="b", bytes=1, had=0),
            TaskFinished(url="u", output="o", files=2, bytes=11, skipped=0, seconds=1.0, sources={"hub": 5, "peer": 3}),
        ):
            task(event)
    assert tracing.current() == ""
    assert len(heard) == 7
    first, unfinished = spans.named("dfly.blob")
    assert dict(first.attributes) == {
        "dfly.path": "a",
        "dfly.bytes": 10,
        "dfly.had": 2,
        "dfly.bytes.hub": 5,
        "dfly.bytes.peer": 3,
        "dfly.segments": 0,
        "dfly.verified": "sha256:00",
    }
    assert "dfly.verified" not in unfinished.attributes
    whole = spans.one("dfly.fetch")
    assert inside.startswith(f"00-{whole.context.trace_id:032x}-{whole.context.span_id:016x}-")
    (note,) = whole.events
    assert (note.name, note.attributes["dfly.cause"]) == ("retrying", "a hiccup")


# What it costs where nobody wants it

RUN = """
import sys
from dfly.plugins import Plugins
from dfly.cli.dfget import run
from dfly.seed import peer
from dfly.testing.memory import memory_backend
code = run(["memory://tiny", "-r", "-O", sys.argv[1], "-q", "--no-daemon"],
           plugins=Plugins(extra=[memory_backend({"tiny": {"a": b"1"}})]))
print(code, sorted({name.partition(".")[0] for name in sys.modules if name.startswith("opentelemetry")}))
"""


def run(tmp_path, before="", **env):
    import os

    clean = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    argv = [sys.executable, "-c", before + RUN, str(tmp_path / "out")]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, env={**clean, **env})


def test_nothing_of_opentelemetry_is_imported_unless_it_is_asked_for(tmp_path):
    assert run(tmp_path).stdout == "0 []\n"
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    assert run(tmp_path, **asked, OTEL_SDK_DISABLED="true").stdout == "0 []\n"
    assert run(tmp_path, **asked, OTEL_TRACES_EXPORTER="none").stdout == "0 []\n"


def test_without_the_extra_a_task_runs_and_says_what_is_missing(tmp_path):
    without = "import sys\nsys.modules['opentelemetry'] = None\n"
    done = run(tmp_path, before=without, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.stdout.startswith("0 ")
    assert "pip install 'dfly-core[otel]'" in done.stderr


def test_spans_go_where_the_usual_variables_say(tmp_path):
    """A collector on loopback: what a command sends before it ends."""
    import http.server
    import threading

    got = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        done = run(
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
            TRACEPARENT="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        server.shutdown()
    assert done.stdout.startswith("0 ['opentelemetry']"), done.stderr
    # one that takes long sends what is over by then before it ends, too
    paths, bodies = zip(*got, strict=True)
    body = b"".join(bodies)
    assert set(paths) == {"/v1/traces"}
    assert b"dfly.fetch" in body
    assert b"dfget" in body
    assert bytes.fromhex("0af7651916cd43dd8448eb211c80319c") in body


def test_silence_costs_nothing_and_passes_everything_on():
    span = tracing.NO_TRACES.begin("dfly.fetch")
    heard = []
    with tracing.TaskSpans(tracing.NO_TRACES, span, heard.append) as task:
        task(FileStarted(path="a", bytes=1, had=0))
        assert tracing.current() == ""
    assert len(heard) == 1
    with tracing.within(span) as same:
        same.set(a=1)
        same.note("b")
    tracing.TaskSpans(tracing.NO_TRACES, span, ignore)(FileStarted(path="a", bytes=1, had=0))
