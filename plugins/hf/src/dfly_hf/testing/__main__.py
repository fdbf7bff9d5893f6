"""Serve folders as repositories of a hub: `python -m dfly_hf.testing --repo owner/name=DIR`.

Prints the endpoint as its first line and serves until it is interrupted or, with `--with-parent`, its standard input
closes. `GET /_stats` tells what was asked and sent.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

from dfly_hf.testing.fixture import FixtureHub


def main(argv: list[str] | None = None) -> int:
    """Run the server. Returns the exit code."""
    options = _parser().parse_args(argv)
    stop = threading.Event()
    with FixtureHub(
        prefix=options.prefix,
        page_size=options.page_size,
        link_seconds=options.link_seconds,
        rate=options.rate,
        host=options.host,
        port=options.port,
    ) as hub:
        for spec in options.repo:
            name, _, folder = spec.partition("=")
            if not (folder or options.root):
                sys.exit(f"--repo {spec}: say which folder, with {name}=DIR or --root DIR")
            hub.repo(name, Path(folder or options.root), private=options.private, gated=options.gated)
        names = [spec.partition("=")[0].removeprefix("models/") for spec in options.repo]
        for token in options.token:
            hub.token(token, grants=[name.partition("/")[2] if name.count("/") == 2 else name for name in names])
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dfly_hf.testing", description="A Hugging Face Hub on loopback.")
    add = parser.add_argument
    add("--repo", action="append", required=True, metavar="[TYPE/]OWNER/NAME[=DIR]", help="serve DIR (default: --root)")
    add("--root", metavar="DIR", help="the folder of repositories that name none")
    add("--token", action="append", default=[], help="accept this token, for every repository")
    add("--private", action="store_true", help="let only tokens read")
    add("--gated", action="store_true", help="let everybody list and only tokens fetch")
    add("--rate", type=float, metavar="BYTES_PER_S", help="limit all content together")
    add("--page-size", type=int, default=1000, help="rows in a page of a listing")
    add("--link-seconds", type=int, default=3600, help="how long signed links live")
    add("--prefix", default="", help="a path below which the hub lives")
    add("--host", default="127.0.0.1", help="the address to listen on")
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--with-parent", action="store_true", help="stop when standard input closes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
