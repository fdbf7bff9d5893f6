"""A hub as a process of its own: `python -m <plugin>.testing --repo owner/name=DIR`.

It prints its endpoint as its first line and serves until it is interrupted or, with `--with-parent`, its standard input
closes. `GET /_stats` tells what was asked and sent.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dfly.testing.hub.running import LoopbackHub
from dfly.testing.hub.site import Repository


def hub_parser(module: str, description: str) -> argparse.ArgumentParser:
    """The flags that every hub has; a hub's own are added to it."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    add = parser.add_argument
    add("--repo", action="append", required=True, metavar="[TYPE/]OWNER/NAME[=DIR]", help="serve DIR (default: --root)")
    add("--root", metavar="DIR", help="the folder of repositories that name none")
    add("--token", action="append", default=[], help="accept this token, for every repository")
    add("--private", action="store_true", help="let only tokens read")
    add("--rate", type=float, metavar="BYTES_PER_S", help="limit all content together")
    add("--link-seconds", type=int, default=3600, help="how long signed links live")
    add("--prefix", default="", help="a path below which the hub lives")
    add("--host", default="127.0.0.1", metavar="ADDR", help="the address to listen on, which its links name")
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--with-parent", action="store_true", help="stop when standard input closes")
    return parser


def serve_folders(hub: LoopbackHub[Any], options: argparse.Namespace, add: Callable[[str, Path], Repository]) -> int:
    """Serve what `options` say until told to stop; `add` creates a repository. Returns the exit code."""
    stop = threading.Event()
    ids = []
    for spec in options.repo:
        name, _, folder = spec.partition("=")
        if not (folder or options.root):
            sys.exit(f"--repo {spec}: say which folder, with {name}=DIR or --root DIR")
        ids.append(add(name, Path(folder or options.root)).id)
    for token in options.token:
        hub.token(token, grants=ids)
    with hub:  # only now: whoever is answered finds every repository
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        sys.stdout.write(hub.url + "\n")
        sys.stdout.flush()
        if options.with_parent:
            threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
        stop.wait()
    return 0


def _stop_with_parent(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()
