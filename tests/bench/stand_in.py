"""Hub, seed peer and node in a few lines, so that the benchmark's own machinery can be tried: `stand_in.py ROLE …`."""

import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def serve(address: str, port: str, body) -> None:
    sent = {"content_bytes": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps(sent).encode() if self.path == "/_stats" else body()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            if self.path != "/_stats":
                sent["content_bytes"] += len(data)

    ThreadingHTTPServer((address, int(port)), Handler).serve_forever()


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=100) as response:
        return response.read()


def node(url: str, output: str) -> None:
    data = read(url)
    say("segment.finished", path="blob.bin", index=0)
    Path(output).write_bytes(data)
    say("task.finished", sources={"seed-peer": len(data)})


def say(event: str, **fields) -> None:
    print(json.dumps({"event": event, "time": time.time(), **fields}), flush=True)


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "hub":
        serve(rest[0], rest[1], Path(rest[2]).read_bytes)
    elif role == "seed":
        cache: list[bytes] = []
        once = threading.Lock()

        def body() -> bytes:
            with once:
                if not cache:
                    cache.append(read(rest[2]))
            return cache[0]

        serve(rest[0], rest[1], body)
    else:
        node(*rest)
