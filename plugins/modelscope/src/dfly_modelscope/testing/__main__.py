"""Serve folders as repositories of a hub: `python -m dfly_modelscope.testing --repo owner/name=DIR`; `--help` has the rest."""

import sys
from functools import partial

from dfly.testing.hub import hub_parser, serve_folders
from dfly_modelscope.testing.fixture import FixtureHub


def main(argv: list[str] | None = None) -> int:
    """Run the server. Returns the exit code."""
    parser = hub_parser("dfly_modelscope.testing", "ModelScope on loopback.")
    add = parser.add_argument
    add("--part-status", type=int, default=200, choices=(200, 206), help="the status of a part of a file")
    add("--cdn-name", metavar="NAME", help="what links call this machine: a client's cookie follows a name to any port")
    options = parser.parse_args(argv)
    hub = FixtureHub(
        prefix=options.prefix,
        link_seconds=options.link_seconds,
        rate=options.rate,
        part_status=options.part_status,
        host=options.host,
        port=options.port,
        cdn_name=options.cdn_name,
    )
    return serve_folders(hub, options, partial(hub.repo, private=options.private))


if __name__ == "__main__":
    sys.exit(main())
