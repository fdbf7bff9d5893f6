"""What names were last: the pinned source that each URL with a branch or tag led to, kept for when the hub cannot be asked.

Of public sources only: whether a private one is still open to a caller is for the hub to say.
"""

import contextlib
import json
import os
import threading
from collections import OrderedDict

import structlog

from dfly.errors import OutputError

_log = structlog.get_logger(__name__)

#: Names that are kept; those that were not used for the longest time go first.
_MOST = 4096


class Names:
    """The names in the file `path`. Thread-safe. A file that cannot be read counts as empty."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._names: OrderedDict[str, str] = OrderedDict()
        with (
            contextlib.suppress(OSError, ValueError, AttributeError, RecursionError),
            open(path, encoding="utf-8") as file,
        ):
            self._names.update({str(url): str(source) for url, source in json.load(file).items()})

    def last(self, url: str) -> str:
        """The pinned source that `url` was last; itself where nothing is known."""
        with self._lock:
            return self._names.get(url, url)

    def note(self, url: str, source: str) -> None:
        """`url` is `source` now."""
        with self._lock:
            if url == source or self._names.get(url) == source:
                return
            self._names[url] = source
            self._names.move_to_end(url)
            while len(self._names) > _MOST:
                self._names.popitem(last=False)
            self._write()

    def _write(self) -> None:
        try:
            fd = os.open(
                f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(self._names, file)
            os.replace(f"{self._path}.new", self._path)
        except OSError as error:
            # it is known until the end of this process
            _log.warning("names.unwritten", cause=OutputError.from_os(error, self._path).message)
