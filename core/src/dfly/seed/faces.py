"""What a seed peer or a daemon answers besides its main work: each part brings its own routes.

Below `/v1/operator/` are those that name sources of others or change what is kept: only operators get there.
"""

from typing import Protocol

from aiohttp import web

#: The paths that only operators may ask.
OPERATOR = "/v1/operator/"


class Face(Protocol):
    """A part with routes of its own."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Say what it answers."""
