"""What can be set on this hub, besides what every hub has."""

from typing import ClassVar

import attrs

from dfly.testing.hub import Content, Site
from dfly_modelscope.testing.repos import Repo


@attrs.define(kw_only=True)
class ModelScopeSite(Site[Repo]):
    """The state of a fixture hub."""

    api_kinds: ClassVar[tuple[str, ...]] = ("files", "tree", "revisions", "info", "exists", "region")
    key_name: ClassVar[str] = "OSSAccessKeyId"

    cap: int
    tells_head: str
    bare_lists: bool

    def stored_headers(self, file: Content) -> dict[str, str]:
        """The storage's ETag is of an upload in parts and tells nothing; the hash has a header of its own."""
        return {"ETag": f'"{file.etag[:32].upper()}-1"', "X-Linked-ETag": file.etag}
