"""Serve folders as repositories of a hub: `python -m dfly_hf.testing --repo owner/name=DIR`; `--help` has the rest."""

import sys
from functools import partial

from dfly.testing.hub import hub_parser, serve_folders
from dfly_hf.testing.fixture import FixtureHub


def main(argv: list[str] | None = None) -> int:
    """Run the server. Returns the exit code."""
    parser = hub_parser("dfly_hf.testing", "A Hugging Face Hub on loopback.")
    parser.add_argument("--gated", action="store_true", help="let everybody list and only tokens fetch")
    parser.add_argument("--page-size", type=int, default=1000, help="rows in a page of a listing")
    options = parser.parse_args(argv)
    hub = FixtureHub(
        prefix=options.prefix,
        page_size=options.page_size,
        link_seconds=options.link_seconds,
        rate=options.rate,
        host=options.host,
        port=options.port,
    )
    return serve_folders(hub, options, partial(hub.repo, private=options.private, gated=options.gated))


if __name__ == "__main__":
    sys.exit(main())
