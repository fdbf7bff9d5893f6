"""Serve folders as repositories of a hub: `python -m dfly_modelscope.testing --repo owner/name=DIR`.

Prints the endpoint as its first line and serves until it is interrupted or, with `--with-parent`, its standard input
closes. `GET /_stats` tells what was asked and sent.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

from dfly_modelscope.testing.fixture import FixtureHub


def main(argv: list[str] | None = None) -> int:
    """Run the server. Returns the exit code."""
    options = _parser().parse_args(argv)
    stop = threading.Event()
    with FixtureHub(
        prefix=options.prefix,
        link_seconds=options.link_seconds,
        rate=options.rate,
        part_status=options.part_status,
        host=options.host,
        port=options.port,
    ) as hub:
        ids = []
        for spec in options.repo:
            name, _, folder = spec.partition("=")
            if not (folder or options.root):
                sys.exit(f"--repo {spec}: say which folder, with {name}=DIR or --root DIR")
            ids.append(hub.repo(name, Path(folder or options.root), private=options.private).id)
        for token in options.token:
            hub.token(token, grants=ids)
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
    parser = argparse.ArgumentParser(prog="python -m dfly_modelscope.testing", description="ModelScope on loopback.")
    add = parser.add_argument
    add("--repo", action="append", required=True, metavar="[TYPE/]OWNER/NAME[=DIR]", help="serve DIR (default: --root)")
    add("--root", metavar="DIR", help="the folder of repositories that name none")
    add("--token", action="append", default=[], help="accept this token, for every repository")
    add("--private", action="store_true", help="let only tokens read")
    add("--rate", type=float, metavar="BYTES_PER_S", help="limit all content together")
    add("--link-seconds", type=int, default=3600, help="how long signed links live")
    add("--part-status", type=int, default=200, choices=(200, 206), help="the status of a part of a file")
    add("--prefix", default="", help="a path below which the hub lives")
    add("--host", default="127.0.0.1", metavar="ADDR", help="the address to listen on, which its links name")
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--with-parent", action="store_true", help="stop when standard input closes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
