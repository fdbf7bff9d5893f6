"""Through a proxy, and around it."""

import base64
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from tests.dfget.files import MIB, some_bytes, tree

FILES = {"config.json": b"{}", "model.bin": some_bytes(2 * MIB)}


class Proxy(ThreadingHTTPServer):
    """A proxy for plain http. `asked` are the URLs that went through; `password` ("user:password") is wanted first."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Passing)
        self.asked, self.password = [], ""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wanted = "Basic " + base64.b64encode(self.server.password.encode()).decode()
        if self.server.password and self.headers["Proxy-Authorization"] != wanted:
            self._answer(407, [("Content-Length", "0")], b"")
            return
        self.server.asked.append(self.path)
        target = urlsplit(self.path)
        onward = http.client.HTTPConnection(target.netloc)
        kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        onward.request(self.command, self.path.removeprefix(f"http://{target.netloc}"), body, kept)
        answer = onward.getresponse()
        content = answer.read()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() != "transfer-encoding"]
        if answer.getheader("Content-Length") is None:
            headers.append(("Content-Length", str(len(content))))
        self._answer(answer.status, headers, content)
        onward.close()

    do_HEAD = do_POST = do_GET

    def _answer(self, status, headers, content):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def proxy():
    with Proxy() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.mark.parametrize("how", ["flag", "http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_is_used_for_api_and_content(hub, dfget, here, proxy, how):
    hub.repo("o/r", FILES)
    argv, env = (["--proxy", proxy.url], {}) if how == "flag" else ([], {how: proxy.url})
    done = dfget("hf://o/r", "-r", "-O", "out", *argv, **env)
    assert done.code == 0, done.err
    assert tree(here / "out") == FILES
    through = [url.partition("?")[0] for url in proxy.asked]
    assert any(path.startswith(f"{hub.url}/api/") for path in through)
    assert any(path.startswith(hub.cdn_url) for path in through)
    assert len(through) == len(hub.calls())


def test_no_proxy_names_hosts_that_are_reached_directly(hub, dfget, here, proxy):
    hub.repo("o/r", FILES)
    done = dfget("hf://o/r/model.bin", HTTP_PROXY=proxy.url, NO_PROXY="127.0.0.0/8")
    assert done.code == 0, done.err
    assert proxy.asked == []


def test_a_proxy_gets_its_password_and_nobody_else_does(hub, dfget, here, proxy):
    hub.repo("o/r", FILES)
    proxy.password = "me:Pr0xyS3cret"
    url = proxy.url.replace("://", "://me:Pr0xyS3cret@")
    done = dfget("hf://o/r/model.bin", "--debug", "--log-level", "debug", HTTP_PROXY=url)
    assert done.code == 0, done.err
    assert "Pr0xyS3cret" not in done.out + done.err
    refused = dfget("hf://o/r/config.json", HTTP_PROXY=proxy.url)
    assert refused.code != 0
    assert "407" in refused.err or "proxy" in refused.err
