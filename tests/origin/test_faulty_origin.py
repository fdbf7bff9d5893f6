"""The server that others test with does what it says."""

import hashlib
import subprocess
import sys
import threading

import httpx
import pytest

from dfly.testing import faults
from dfly.testing.origin import FaultyOrigin


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, headers={"Accept-Encoding": "identity"}) as made:
        yield made


def test_it_serves_files_and_ranges_rightly(client, hub):
    url = hub.add("a/b c#1.bin", b"0123456789")
    assert client.get(url).content == b"0123456789"
    part = client.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert client.get(url, headers={"Range": "bytes=8-"}).content == b"89"
    assert client.get(url, headers={"Range": "bytes=8-99"}).content == b"89"
    past = client.get(url, headers={"Range": "bytes=10-"})
    assert (past.status_code, past.headers["content-range"]) == (416, "bytes */10")
    head = client.head(url)
    assert (head.headers["content-length"], head.content) == ("10", b"")
    assert client.get(f"{hub.url}/nothing").status_code == 404


def test_it_knows_the_etag_of_its_content(client, hub):
    url = hub.add("m", b"one")
    etag = client.get(url).headers["etag"]
    assert client.get(url, headers={"If-Match": etag}).status_code == 200
    hub.fault("m", faults.replaced(b"two"))
    assert client.get(url).content == b"one"
    assert client.get(url, headers={"If-Match": etag}).status_code == 412
    assert client.get(url).content == b"two"


def test_it_can_ignore_if_match(client):
    with FaultyOrigin(honour_if_match=False) as origin:
        assert client.get(origin.add("m", b"one"), headers={"If-Match": '"x"'}).status_code == 200


def test_faults_occur_as_often_as_told_and_where(client, hub):
    url = hub.add("m", b"0123456789")
    hub.fault("m", faults.status(503), times=2, when=lambda seen: seen.range is not None)
    hub.fault("m", faults.status(500))
    codes = [client.get(url, headers=h).status_code for h in ({}, {"Range": "bytes=0-1"}, {}, {"Range": "bytes=0-1"})]
    assert codes == [500, 503, 200, 503]


def test_it_logs_what_it_was_asked(client, hub):
    client.get(hub.add("m", b"x") + "?a=b", headers={"X-Thing": "y"})
    (seen,) = hub.asked("m")
    assert (seen.method, seen.query, seen.headers["x-thing"], seen.range) == ("GET", "a=b", "y", None)


def test_a_signed_link_works_as_often_as_told(client, hub):
    hub.add("m", b"x")
    link = hub.sign("m", uses=2)
    assert [client.get(link).status_code for _ in range(3)] == [200, 200, 403]
    assert client.get(hub.url_of("m")).status_code == 403
    assert client.get(hub.sign("m", uses=1)).status_code == 200


def test_it_refuses_and_remembers_credentials_where_told(client, cdn):
    url = cdn.add("m", b"x")
    assert client.get(url).status_code == 200
    assert client.get(url, headers={"Authorization": "Bearer t"}).status_code == 400
    assert client.get(url, headers={"X-Any-Token": "t"}).status_code == 400
    assert len(cdn.leaks) == 2


@pytest.mark.parametrize(
    "fault", [faults.truncated(3), faults.wrong_length(5), faults.silent(), faults.stall(threading.Event(), after=3)]
)
def test_a_broken_connection_is_really_broken(client, hub, fault):
    url = hub.add("m", b"0123456789")
    hub.fault("m", fault)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadTimeout)):
        client.get(url, timeout=0.1)


def test_a_corrupt_byte_is_one_byte(client, hub):
    url = hub.add("m", b"0123456789")
    hub.fault("m", faults.corrupt(at=4))
    assert client.get(url).content == b"0123\xcb56789"
    hub.fault("m", faults.corrupt(at=4))
    assert client.get(url, headers={"Range": "bytes=5-"}).content == b"56789"


def test_a_stall_ends_when_it_is_told_to(client, hub):
    url = hub.add("m", b"0123456789")
    go = threading.Event()
    hub.fault("m", faults.stall(go, after=3))
    with client.stream("GET", url) as response:
        chunks = response.iter_raw()
        first = next(chunks)
        go.set()
        assert first + b"".join(chunks) == b"0123456789"


def test_it_serves_a_directory_as_a_process(client, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "f.bin").write_bytes(b"0123456789")
    (tmp_path / "empty").write_bytes(b"")
    command = [sys.executable, "-m", "dfly.testing.origin", "--root", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            assert client.get(f"{url}/sub/f.bin", headers={"Range": "bytes=2-4"}).content == b"234"
            assert client.get(f"{url}/empty").content == b""
            assert client.get(f"{url}/%2e%2e/{tmp_path.name}").status_code == 404
        finally:
            process.terminate()


def test_large_content_arrives_whole(client, hub):
    data = bytes(range(256)) * 20_000
    assert hashlib.sha256(client.get(hub.add("m", data)).content).digest() == hashlib.sha256(data).digest()
