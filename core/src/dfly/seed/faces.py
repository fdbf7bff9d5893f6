"""What a seed peer or a daemon answers besides its main work: each part brings its own routes.

Below `/v1/operator/` are those that name sources of others or change what is kept: only operators get there. Others need no
token because what opens them is in their path: an `OPEN` one looks at that itself, and at nothing else.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # dfctl reads the path, and needs no web server for that
    from aiohttp import web

#: The paths that only operators may ask.
OPERATOR = "/v1/operator/"
#: The paths of scrapers and browsers, who cannot do as nodes do: each looks itself at who asks.
WATCHED = ("/metrics", "/ui")
#: The paths that stock BitTorrent clients ask, who can send no token: each holds a pass.
OPEN = ("/announce/", "/v1/files/")


class Face(Protocol):
    """A part with routes of its own."""

    def add_routes(self, router: "web.UrlDispatcher") -> None:
        """Say what it answers."""
