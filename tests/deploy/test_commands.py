"""What the manifests tell containers to run is run: with the packages that are installed here, on loopback, below a folder."""

import contextlib
import os
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
import trustme
from aiohttp import web

from dfly.cli import dfdaemon, logs, node_role
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.running import in_thread, listening
from dfly.testing.swarm import tree
from dfly_hf.testing import FixtureHub

from .commands import Here, only_flags_there_are
from .conftest import CHART, SETS, Rendered, example_pod, render, values_of, words

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 4096, "vocab.txt": b"a\nb\n"}
OURS = ("dfdaemon", "dfget", "dfctl")
SECRETS = ("cluster-token", "operator-token", "cluster-secret")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def hub(monkeypatch):
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        running.repo(MODEL, FILES)
        yield running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def machine(tmp_path, authority):
    """Makes a container's file system: its directories, its secrets and certificates."""

    def make(name: str, *seed_peers: str, **replaced: str) -> Here:
        root = tmp_path / name
        for folder in ("var/lib/dfly", "run/dfly", "run/location", "tmp", "models"):
            (root / folder).mkdir(parents=True)
        for folder in ("secrets", "tls", "ca", "location"):
            (root / "etc/dfly" / folder).mkdir(parents=True)
        for secret in SECRETS:
            (root / "etc/dfly/secrets" / secret).write_text(f"the {secret}\n")
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(root / "etc/dfly/tls/tls.key")
        certificate.cert_chain_pems[0].write_to_path(root / "etc/dfly/tls/tls.crt")
        authority.cert_pem.write_to_path(root / "etc/dfly/ca/ca.crt")
        (root / "etc/dfly/location/location.py").write_bytes((CHART / "files/location.py").read_bytes())
        mine = f"{os.getuid()}:{os.getgid()}"
        return Here(root=root, seed_peers=seed_peers, replaced={"65532:65532": mine, **replaced})

    return make


def environment(container: dict, here: Here, **more: str) -> dict[str, str]:
    given = {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
    return {**os.environ, **given, "HOME": str(here.path("/tmp")), **more}


@pytest.fixture
def start():
    """Starts a container's command; gives the URL that it says it answers at."""
    with contextlib.ExitStack() as stack:

        def begin(container: dict, here: Here, **more: str) -> str:
            log = stack.enter_context(here.path("/log").open("ab"))
            process = subprocess.Popen(
                here.command(words(container)),
                env=environment(container, here, **more),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("dfdaemon: "), here.path("/log").read_text()
            return said.split()[-1]

        yield begin


def run(container: dict, here: Here, **more: str) -> str:
    """What a container that ends prints."""
    done = subprocess.run(
        here.command(words(container)), env=environment(container, here, **more), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(container: dict, probe: str, url: str, *, trusted: Path | None = None) -> int:
    """The status of what the kubelet asks, which shows no token."""
    asked = container[probe]["httpGet"]
    assert url.startswith(asked.get("scheme", "HTTP").lower() + "://")
    context = ssl.create_default_context(cafile=str(trusted) if trusted else None)
    return httpx.get(f"{url}{asked['path']}", verify=context, trust_env=False).status_code


@pytest.fixture
def kubernetes(authority, machine, tmp_path):
    """An API server that knows one node, and what a pod has of it; `asked` are the requests' Authorization headers."""
    asked: list[str] = []

    async def node(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization", ""))
        labels = {"topology.kubernetes.io/zone": "eu-1a", "example.com/rack": "r7", "other": "x"}
        return web.json_response({"metadata": {"name": request.match_info["name"], "labels": labels}})

    app = web.Application()
    app.router.add_get("/api/v1/nodes/{name}", node)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("pods-own\n")
    authority.cert_pem.write_to_path(account / "ca.crt")
    with in_thread(lambda: listening(app, ("127.0.0.1", 0), tls=context), name="kubernetes") as url:
        host, _, port = url.partition("://")[2].partition(":")
        env = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "NODE_NAME": "gpu-17"}
        yield asked, {**env, "DFLY_SERVICE_ACCOUNT": str(account)}


@pytest.mark.parametrize("name", SETS)
def test_every_command_is_ours_and_has_these_flags(name):
    containers = [*render(values_of(name)).containers().values(), example_pod()["spec"]["initContainers"][0]]
    programs = [words(container)[0] for container in containers]
    assert set(programs) <= {*OURS, "chown", "python"}
    assert programs.count("dfdaemon") == 2
    for container in containers:
        if words(container)[0] in OURS:
            only_flags_there_are(words(container))


@pytest.mark.parametrize("name", SETS)
def test_every_command_line_of_a_daemon_is_understood(name, machine, monkeypatch):
    started: list[object] = []
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
    monkeypatch.setattr(node_role, "run_node", lambda **given: started.append(given))
    monkeypatch.setattr(SeedPeer, "run", lambda self, **_: started.append(self.config))
    here = machine("pod", "http://127.0.0.1:1")
    here.path("/run/location/dfdaemon.toml").write_text('location = "eu-1a"\n')
    found = [words(c) for c in render(values_of(name)).containers().values() if words(c)[0] == "dfdaemon"]
    codes = [dfdaemon.run(here.command(line)[1:], plugins=Plugins(extra=[])) for line in found]
    assert codes == [0, 0]
    seed_peer = next(each for each in started if not isinstance(each, dict))
    node = next(each for each in started if isinstance(each, dict))
    assert seed_peer.data_dir == str(here.path("/var/lib/dfly/store"))
    assert node["joining"].location in ("eu-1a", "hall-1")
    assert node["joining"].seed_peers == ("http://127.0.0.1:1",)
    token = seed_peer.cluster_token.reveal() if seed_peer.cluster_token else ""
    assert token == node["joining"].cluster_token


def test_from_helm_install_to_the_first_model(hub, machine, start, kubernetes):
    """As README tells it: seed peer, node, and a pod whose init container has the model before the rest begins."""
    rendered = render({})
    seed_peer = rendered.the("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    url = start(seed_peer, machine("seed"))
    assert [ask(seed_peer, probe, url) for probe in ("livenessProbe", "readinessProbe")] == [200, 200]

    here = machine("node", url)
    pod = rendered.the("DaemonSet")["spec"]["template"]["spec"]
    directories, location = pod["initContainers"]
    (node,) = pod["containers"]
    run(directories, here)
    asked, env = kubernetes
    assert run(location, here, **env) == 'location = "eu-1a"\n'
    assert asked == ["Bearer pods-own"]
    own = start(node, here)
    assert [ask(node, probe, own) for probe in ("livenessProbe", "readinessProbe")] == [200, 200]
    assert httpx.get(f"{own}/v1/status", trust_env=False).json()["seed_peers"] == [url]
    for place in (url, own):
        assert "dfly_" in httpx.get(f"{place}/metrics", trust_env=False).text

    # a library's HF_ENDPOINT: the Service leads to this port
    service = rendered.the("Service", "-node")["spec"]
    assert (service["internalTrafficPolicy"], service["ports"][0]["targetPort"]) == ("Local", "http")
    config = httpx.get(f"{own}/hf/{MODEL}/resolve/main/config.json", trust_env=False, follow_redirects=True, timeout=60)
    assert config.content == FILES["config.json"]

    spec = example_pod()["spec"]
    (model,), (main,) = spec["initContainers"], spec["containers"]
    socket = {"DFLY_SOCKET": str(here.path("/run/dfly/dfly.sock")), "DFLY_SEED_PEERS": url}
    run(model, here, **socket)
    assert tree(here.path("/models")) == FILES
    assert "model.safetensors" in run(main, here)
    assert '"peer task"' in here.path("/log").read_text()
    assert hub.records.bytes_sent() == sum(map(len, FILES.values()))


def test_with_tls_and_tokens_a_private_model_is_preheated_and_fetched(hub, machine, start, kubernetes, authority):
    hub.repo(MODEL, FILES, private=True)
    hub.token("hf_me", grants=[MODEL])
    rendered = render(values_of("tls"))
    first = machine("seed")
    seed_peer = rendered.the("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    url = start(seed_peer, first)
    trusted = first.path("/etc/dfly/ca/ca.crt")
    assert [ask(seed_peer, probe, url, trusted=trusted) for probe in ("livenessProbe", "readinessProbe")] == [200, 200]

    job = rendered.the("Job", "-0")["spec"]["template"]["spec"]["containers"][0]
    run(job, machine("job", url), HF_TOKEN="hf_me")
    size = sum(map(len, FILES.values()))
    assert hub.records.bytes_sent() == size

    here = machine("node", url)
    pod = rendered.the("DaemonSet")["spec"]["template"]["spec"]
    run(pod["initContainers"][1], here, **kubernetes[1])
    own = start(pod["containers"][0], here)
    assert ask(pod["containers"][0], "readinessProbe", own) == 200
    # without the authority's certificate a pod could not speak to the seed peer itself: the daemon does
    known = {"DFLY_SOCKET": str(here.path("/run/dfly/dfly.sock")), "DFLY_SEED_PEERS": url, "HF_TOKEN": "hf_me"}
    run(example_pod()["spec"]["initContainers"][0], here, **known)
    assert tree(here.path("/models")) == FILES
    assert hub.records.bytes_sent() == size


def test_a_node_without_the_labels_has_no_location_and_starts(machine, kubernetes):
    here = machine("node")
    rendered = render({"node": {"location": {"nodeLabels": ["example.com/hall"]}}})
    text = run(_location(rendered), here, **kubernetes[1])
    assert text.startswith("#")
    both = render(values_of("private-hub"))
    assert run(_location(both), here, **kubernetes[1]) == 'location = "eu-1a/r7"\n'


def _location(rendered: Rendered) -> dict:
    return rendered.the("DaemonSet")["spec"]["template"]["spec"]["initContainers"][1]
