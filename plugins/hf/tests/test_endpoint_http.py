"""What a daemon's endpoint says, byte for byte, to clients other than the hub's own."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

import dfly
from dfly.backend import build_options
from dfly.config import Network
from dfly.facade import IDENTITY, Answer, Asked, Opened, Options
from dfly.origin.backends import Backends
from dfly.plugins import Plugins
from dfly.testing.lent import QUICK
from dfly.testing.swarm import tree
from dfly.values import Entry, Snapshot
from dfly_hf.facade import HfFacade
from dfly_hf.testing import FixtureHub

from .daemons import daemon

LARGE = bytes(range(251)) * 8_000
FILES = {
    "config.json": b'{"a": 1}' * 100,
    "model.safetensors": LARGE,
    "empty": b"",
    "sub/100% a+b#c?&é'\".txt": b"odd",
    "sub/back\\slash": b"\\",
    "ünïcode/名.json": b"{}",
}
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.fixture
def filled(hub: FixtureHub, monkeypatch: pytest.MonkeyPatch) -> FixtureHub:
    hub.repo("owner/name", FILES)
    hub.repo("owner/private", FILES, private=True)
    hub.token("hf_x", name="reader", grants=["owner/private"])
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    return hub


@pytest.fixture
def endpoint(filled: FixtureHub, tmp_path: Path) -> Iterator[str]:
    with daemon(tmp_path / "node") as url:
        yield url


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=60, follow_redirects=True) as opened:
        yield opened


def quoted(name: str) -> str:
    return f"/owner/name/resolve/main/{quote(name)}"


@pytest.mark.parametrize("headers", [{}, GZIP, {"Accept-Encoding": "identity"}], ids=["bare", "gzip", "identity"])
def test_every_file_comes_as_it_is_cold_and_warm(endpoint: str, client: httpx.Client, headers: dict[str, str]) -> None:
    for _ in range(2):
        for name, content in FILES.items():
            got = client.get(endpoint + quoted(name), headers=headers)
            assert (got.status_code, got.content) == (200, content)
            assert got.headers["Content-Length"] == str(len(content))
            assert "Content-Encoding" not in got.headers


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "empty"])
def test_a_head_tells_what_the_hub_tells(filled: FixtureHub, endpoint: str, client: httpx.Client, name: str) -> None:
    ours = client.head(endpoint + quoted(name))
    theirs = client.head(filled.url + quoted(name), follow_redirects=False)
    size = str(len(FILES[name]))
    assert (ours.status_code, ours.content, ours.headers["Content-Length"]) == (200, b"", size)
    for header in ("X-Repo-Commit", "X-Linked-ETag", "X-Linked-Size", "Accept-Ranges"):
        assert ours.headers.get(header) == theirs.headers.get(header)
    assert ours.headers["ETag"] == theirs.headers.get("X-Linked-ETag", theirs.headers.get("ETag"))
    assert not [header for header in ours.headers if header.startswith("x-xet")]


RANGES = {
    "a stretch": "bytes=100-199",
    "one byte": "bytes=0-0",
    "the last byte": "bytes=2007999-2007999",
    "to the end": "bytes=2000000-",
    "beyond the end": "bytes=2000000-9999999",
    "a suffix": "bytes=-5",
    "a suffix of all": "bytes=-9999999",
    "past the end": "bytes=2008000-",
    "several": "bytes=0-1,5-6",
    "no unit": "lines=1-2",
    "backwards": "bytes=9-3",
    "nonsense": "bytes=a-b",
}


@pytest.mark.parametrize("asked", RANGES)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_range_is_answered_as_by_the_hub(
    filled: FixtureHub, endpoint: str, client: httpx.Client, asked: str, warm: bool
) -> None:
    where, headers = quoted("model.safetensors"), {"Range": RANGES[asked]}
    if warm:
        client.get(endpoint + where)
    ours, theirs = client.get(endpoint + where, headers=headers), client.get(filled.url + where, headers=headers)
    if asked == "backwards":  # nothing says what it means; whole is what the standard says
        assert (ours.status_code, ours.content) == (200, LARGE)
        return
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    assert ours.headers.get("Content-Range") == theirs.headers.get("Content-Range")


def test_ranges_of_an_empty_file(filled: FixtureHub, endpoint: str, client: httpx.Client) -> None:
    got = client.get(endpoint + quoted("empty"), headers={"Range": "bytes=0-"})
    assert (got.status_code, got.headers["Content-Range"], got.content) == (416, "bytes */0", b"")


def test_conditions_hold(endpoint: str, client: httpx.Client) -> None:
    where = endpoint + quoted("model.safetensors")
    tag = client.head(where).headers["ETag"]

    def status(**headers: str) -> tuple[int, int]:
        got = client.get(where, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return got.status_code, len(got.content)

    assert status(If_None_Match=tag) == (304, 0)
    assert status(If_None_Match=f'"other", W/{tag}') == (304, 0)
    assert status(If_None_Match="*") == (304, 0)
    assert status(If_None_Match='"other"') == (200, len(LARGE))
    assert status(If_Match=tag) == (200, len(LARGE))
    assert status(If_Match='"other"')[0] == 412
    assert status(If_Range=tag, Range="bytes=0-9") == (206, 10)
    assert status(If_Range='"other"', Range="bytes=0-9") == (200, len(LARGE))


def test_a_missing_file_is_known_to_be_missing_without_asking(
    filled: FixtureHub, endpoint: str, client: httpx.Client
) -> None:
    commit = client.head(endpoint + quoted("config.json")).headers["X-Repo-Commit"]
    filled.records.clear()
    got = client.get(endpoint + quoted("adapter_config.json").replace("main", commit))
    assert (got.status_code, got.headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert got.headers["X-Repo-Commit"] == commit
    assert not filled.calls("resolve", "cdn")


def test_pages_of_a_listing_lead_to_each_other_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"dir{i % 3}/file{i:04}": b"" for i in range(2100)}
    with FixtureHub() as hub:
        hub.repo("owner/name", names)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with daemon(tmp_path / "node") as url, httpx.Client(trust_env=False, timeout=60) as client:
            found, following = [], f"{url}/api/models/owner/name/tree/main?recursive=true"
            while following:
                page = client.get(following)
                found += [row["path"] for row in page.json() if row["type"] == "file"]
                following = page.links.get("next", {}).get("url", "")
                assert not following or following.startswith(url)
    assert sorted(found) == sorted(names)


def test_what_is_not_a_read_is_the_hubs_to_answer(filled: FixtureHub, endpoint: str, client: httpx.Client) -> None:
    got = client.get(f"{endpoint}/api/whoami-v2", headers={"Authorization": "Bearer hf_x"})
    assert got.json()["name"] == "reader"
    assert client.post(f"{endpoint}/api/repos/create", json={"name": "x"}).status_code == 404
    assert [call.url for call in filled.calls("other", "whoami")] == ["/api/whoami-v2", "/api/repos/create"]


def test_a_redirect_of_the_hub_leads_back_here(filled: FixtureHub, endpoint: str, client: httpx.Client) -> None:
    filled.rename("old/name", "owner/name")
    got = client.get(f"{endpoint}/api/models/old/name", follow_redirects=False)
    assert (got.status_code, got.headers["Location"]) == (307, endpoint + "/api/models/owner/name")


def test_a_token_opens_what_is_private_and_stays_nowhere(
    filled: FixtureHub, tmp_path: Path, client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    where = "/owner/private/resolve/main/model.safetensors"
    token = {"Authorization": "Bearer hf_x"}
    with daemon(tmp_path / "node") as url:
        assert client.get(url + where, headers=token).content == LARGE
        assert client.get(url + where).status_code == 401
        assert client.get(url + where, headers={"Authorization": "Bearer hf_wrong"}).status_code == 401
        assert client.get(url + where, headers=token).content == LARGE
        assert filled.records.bytes_sent("model.safetensors") == len(LARGE)
    assert filled.records.leaks() == []
    assert "hf_x" not in "".join(capsys.readouterr())
    assert not [path for path in (tmp_path / "node").rglob("*") if path.is_file() and b"hf_x" in path.read_bytes()]


def test_with_the_hub_gone_what_is_here_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        hub = FixtureHub()
        with hub:
            hub.repo("owner/name", FILES)
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            url = stack.enter_context(daemon(tmp_path / "node"))
            client = stack.enter_context(httpx.Client(trust_env=False, timeout=60))
            before = {name: client.get(url + quoted(name)).content for name in FILES}
            commit = client.get(f"{url}/api/models/owner/name/revision/main").json()["sha"]
        assert before == FILES
        assert {name: client.get(url + quoted(name)).content for name in FILES} == FILES
        assert client.get(f"{url}/api/models/owner/name/revision/main").json()["sha"] == commit
        assert client.get(f"{url}/api/models/owner/name").json()["sha"] == commit
        assert len(client.get(f"{url}/api/models/owner/name/tree/main?recursive=true").json()) == len(FILES) + 2
        assert client.get(f"{url}/api/models/owner/name/refs").json()["branches"][0]["targetCommit"] == commit
        assert client.get(f"{url}/api/models/owner/other/revision/main").status_code == 504


def test_who_it_is_and_what_is_behind_it(filled: FixtureHub, endpoint: str, client: httpx.Client) -> None:
    told = client.get(f"{endpoint}/_dfly")
    assert told.json() == {"endpoint": told.headers[IDENTITY], "upstream": filled.url}
    for path in ("/api/models/owner/name/revision/main", "/api/models/owner/none", quoted("empty")):
        assert client.get(endpoint + path).headers[IDENTITY] == told.headers[IDENTITY]


def test_a_password_in_the_hubs_url_is_shown_to_the_hub_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: httpx.Client
) -> None:
    with contextlib.ExitStack() as stack:
        with FixtureHub(prefix="/mirror", password="me:hunter2") as hub:
            hub.repo("owner/name", FILES)
            hub.rename("old/name", "owner/name")
            monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("://", "://me:hunter2@"))
            url = stack.enter_context(daemon(tmp_path / "node"))
            who, *answers = (
                client.get(url + path) for path in ("/_dfly", quoted("config.json"), "/owner/none/resolve/main/x")
            )
            assert who.json()["upstream"] == hub.url
            assert [answer.status_code for answer in answers] == [200, 401]
            moved = client.get(f"{url}/api/models/old/name", follow_redirects=False)
            assert moved.headers["Location"] == f"{url}/api/models/owner/name"
        away = client.get(f"{url}/api/whoami-v2")
        assert hub.url in away.text
        for answer in (who, *answers, moved, away):
            assert "hunter2" not in answer.text + str(answer.headers)


def test_a_dfget_whose_endpoint_is_a_daemon_goes_to_the_hub_behind_it(
    filled: FixtureHub, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.records.clear()
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    # a name with a backslash is no file name to dfget
    report = dfly.fetch("hf://owner/name", str(tmp_path / "out"), recursive=True, exclude=["*back*"], patience=QUICK)
    assert tree(tmp_path / "out") == {name: content for name, content in FILES.items() if "\\" not in name}
    assert report.sources["hub"] == report.bytes
    assert {call.user_agent.partition("/")[0] for call in filled.calls()} == {"dfly"}
    assert filled.calls("revision")


def test_a_daemon_whose_endpoint_is_itself_does_not_go_round_in_a_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # an address of its own, where nobody takes the port meanwhile: other tests connect from 127.0.0.1
    here = "127.66.0.1"
    with socket.socket() as free:
        free.bind((here, 0))
        port = free.getsockname()[1]
    own = f"http://{here}:{port}/hf"
    monkeypatch.setenv("HF_ENDPOINT", own)

    with (
        daemon(tmp_path / "node", listen=(here, port)),
        Backends(Plugins(), network=Network(), patience=QUICK) as backends,
    ):
        backend_class = Plugins().backend("hf")
        settled = backends.settled(backend_class, build_options(backend_class, {}))
        assert settled.endpoint == "https://huggingface.co"


def test_an_unknown_prefix_has_no_endpoint(endpoint: str, client: httpx.Client) -> None:
    told = client.get(endpoint.removesuffix("hf") + "s3/bucket/key")
    assert told.status_code == 404
    assert "brings no endpoint" in told.text


def test_a_daemon_that_comes_back_while_the_hub_is_gone_knows_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: httpx.Client
) -> None:
    with FixtureHub() as hub:
        hub.repo("owner/name", FILES)
        hub.repo("owner/private", FILES, private=True)
        hub.token("hf_x", name="reader", grants=["owner/private"])
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with daemon(tmp_path / "node") as url:
            for name in FILES:
                client.get(url + quoted(name)).raise_for_status()
            token = {"Authorization": "Bearer hf_x"}
            client.get(f"{url}/owner/private/resolve/main/config.json", headers=token).raise_for_status()
    with daemon(tmp_path / "node") as url:
        assert {name: client.get(url + quoted(name)).content for name in FILES} == FILES
        commit = client.get(f"{url}/api/models/owner/name/revision/main").json()["sha"]
        assert client.head(url + quoted("config.json").replace("main", commit)).status_code == 200
        # who may read a private one is for the hub to say
        assert client.get(f"{url}/owner/private/resolve/main/config.json", headers=token).status_code == 504


def test_a_daemon_that_is_offline_asks_the_hub_nothing_and_serves_what_it_has(
    filled: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: httpx.Client
) -> None:
    filled.repo("owner/other", FILES)
    token = {"Authorization": "Bearer hf_x"}
    private = "/owner/private/resolve/main/config.json"
    with daemon(tmp_path / "node") as url:
        for place in (quoted("config.json"), quoted("model.safetensors"), private):
            client.get(url + place, headers=token).raise_for_status()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    filled.records.clear()
    with daemon(tmp_path / "node") as url:
        for name in ("config.json", "model.safetensors"):
            assert client.get(url + quoted(name)).content == FILES[name]
        assert len(client.get(f"{url}/api/models/owner/name/tree/main?recursive=true").json()) == len(FILES) + 2
        assert client.get(f"{url}/api/models/owner/name").json()["siblings"]
        for place in (
            private,
            quoted("sub/100% a+b#c?&é'\".txt"),
            "/owner/other/resolve/main/config.json",
            "/api/whoami-v2",
        ):
            refused = client.get(url + place, headers=token)
            assert refused.status_code >= 400
            assert "HF_HUB_OFFLINE" in refused.text
    assert not filled.calls()


class Hub:
    """A private repository as a facade is offered it; the hub lets in whom the cookie names."""

    def __init__(self) -> None:
        entry = Entry(path="a", size=3, url="hf://o/n@" + "0" * 40 + "/a", identity="a")
        self.snapshot = Snapshot(source="hf://o/n@" + "0" * 40, name="n", entries=(entry,), revision="0" * 40)

    async def resolve(self, url: str, options: Options, *, vouched: bool = False) -> Opened:
        return self

    async def passed_on(self, asked: Asked, upstream: str) -> Answer:
        return Answer(status=200 if "ours" in asked.headers.get("cookie", "") else 401)


def test_a_yes_that_a_cookie_has_won_is_for_nobody_without_it() -> None:
    facade, hub = HfFacade({}), Hub()

    def status(**headers: str) -> int:
        asked = Asked(method="GET", path="/o/n/resolve/main/a", headers={"authorization": "Bearer x", **headers})
        return asyncio.run(facade.answer(asked, hub)).status

    assert [status(cookie="token=ours"), status(), status(cookie="token=theirs")] == [200, 401, 401]
