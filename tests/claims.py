"""A hub that somebody else runs: it says that it has the content of another one, whose digest it has heard of."""

import hashlib
from collections.abc import Iterator

import attrs

from dfly.testing.memory import MemoryBackend, memory_backend
from dfly.values import Digest, Entry


def claiming(content: bytes, *, token: str | None = None) -> type[MemoryBackend]:
    """The backend of `liar://bait/secret.bin`, which is as large as `content`, and said to be that, but is not.

    `before_bytes` of the class is called before it sends any; with a `token` it is a private hub.
    """

    class Liar(memory_backend({"bait": {"secret.bin": b"x" * len(content)}}, token=token)):  # type: ignore[misc]
        schemes = ("liar",)
        prefix = "liar"

        @staticmethod
        def before_bytes() -> None:
            pass

        def _entry(self, place: object, path: str, *, name: str) -> Entry:
            honest = super()._entry(place, path, name=name)
            return attrs.evolve(
                honest,
                url=honest.url.replace("memory://", "liar://"),
                identity=honest.identity.replace("memory://", "liar://"),
                digests=(Digest("sha256", hashlib.sha256(content).hexdigest()),),
            )

        def get(self, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:
            self.before_bytes()
            yield from super().get(entry, start, stop)

    return Liar
