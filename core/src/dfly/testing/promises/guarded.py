"""What goes wrong, who may read, what stays secret, and how it ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

import attrs
import pytest

from dfly.backend import Backend
from dfly.errors import AccessDenied, DflyError, NotFound, Unsupported
from dfly.testing.promises.broken import broken, expect, must, promise, tree_only
from dfly.testing.world import World

__all__ = ["GuardedPromises"]


class GuardedPromises:
    """Promises of errors, `authorize`, `exists`, `put`, `close`, and of secrets."""

    def test_a_missing_file_is_not_found(self, backend: Backend, world: World) -> None:
        """From `stat` and `list`; `kind` says what is missing."""
        for kinds, url in (
            (("file",), world.missing),
            (("repository", "bucket"), world.missing_repository),
            (("revision",), world.missing_revision),
        ):
            for call in (backend.stat, backend.list) if url is not None else ():
                do = "raise NotFound: it is what exists(), authorize() and the user's next step depend on"
                error = expect(NotFound, "errors.not-found", call, url, do=do)
                promise(
                    error.kind in kinds,
                    "errors.not-found-kind",
                    f"{call.__name__} says kind={error.kind!r}",
                    do=f"NotFound(..., kind={kinds[0]!r})",
                )

    def test_exists_answers(self, backend: Backend, world: World) -> None:
        """True, False; no error for what is merely not there."""
        there = must("exists", backend.exists, world.file, do="leave it to stat")
        promise(there is True, "exists", "denies a file that is there", do="leave it to stat")
        there = must("exists", backend.exists, world.missing, do="let stat raise NotFound")
        promise(not there, "exists", "affirms a file that is not there", do="let stat raise NotFound")

    def test_closed_doors_are_access_denied(self, backend: Backend, world: World) -> None:
        """AccessDenied with a hint; NotFound where the hub hides what one may not read."""
        asks = [(backend, world.denied)] if world.denied is not None else []
        asks += [(world.stranger, world.file)] if world.stranger is not None else []
        if not asks:
            pytest.skip("World.denied and World.stranger are not given")
        for asker, url in asks:
            do = "raise AccessDenied: it is never retried"
            error = expect((AccessDenied, NotFound), "errors.denied", asker.stat, url, do=do)
            promise(error.hint, "errors.denied", f"{error} has no hint", do="say which flag or page opens the door")

    def test_authorize_asks_the_origin(self, backend: Backend, world: World) -> None:
        """True for these credentials, False for a stranger's, though the snapshot is known already."""
        if world.stranger is None:
            pytest.skip("World.stranger is not given")
        snapshot = attrs.evolve(backend.list(world.file), public=False)
        own = must("authorize", backend.authorize, snapshot, do="return True or False")
        promise(own is True, "authorize", "the credentials that listed it are refused", do="stat with these options")
        other = must("authorize", world.stranger.authorize, snapshot, do="return False for what may not be read")
        promise(
            other is False, "authorize", "other credentials are let in", do="ask the origin each time, never a cache"
        )
        public = backend.list(world.file).public or backend.public(backend.stat(world.file))
        promise(not public, "authorize", "a private snapshot says public=True", do="say so only where you know it")

    def test_every_error_is_from_the_tree(self, backend: Backend, world: World) -> None:
        """Whatever is typed: the core acts on types and shows the message to a person."""
        scheme = type(backend).schemes[0]
        odd = [f"{scheme}://{rest}" for rest in ("", " ", "/", "//", "@", "@/", ":", "\0", "%", "[", "[::1")]
        for url in (*odd, *(world.file + more for more in ("\0", "/%zz/..", "/é ü", "@", "#?#"))):
            for call in (backend.stat, backend.list):
                try:
                    tree_only(call, url)
                except DflyError as error:
                    promise(error.message, "errors.tree", f"{url!r}: no message", do="say what happened, and to what")

    def test_secrets_stay_inside(self, backend: Backend, world: World) -> None:
        """Not in values that travel to other machines, nor in anything that is printed."""
        if not world.secrets:
            pytest.skip("World.secrets is not given")
        shown = {"backend": repr(backend), "settings": repr(backend.settings)}
        for url in (world.file, *world.same):
            snapshot = backend.list(url)
            shown[f"snapshot of {snapshot.source}"] = repr(attrs.asdict(snapshot))
            if type(backend).locate is not Backend.locate:
                shown["request"] = repr(backend.locate(snapshot.entries[0]))
        missing = (world.missing, world.missing_repository, world.missing_revision)
        for url in filter(None, (*missing, world.denied, *world.trees)):
            try:
                backend.stat(url)
            except Exception as error:  # noqa: BLE001 - an error of any type may show a secret
                shown[f"error {type(error).__name__}"] = f"{error} {error!r} {vars(error)}"
        for what, text in shown.items():
            if any(secret in text for secret in world.secrets):
                do = "keep tokens and signed queries inside the instance; dfly.bare_url makes URLs fit to print"
                broken("secrets", f"a secret is in the {what.partition(' ')[0]}", do=do)

    def test_put_writes_or_says_it_cannot(self, backend: Backend, world: World) -> None:
        """What was put is there to be read; a backend that only reads says Unsupported."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "put.bin"
            path.write_bytes(world.content[::-1])
            if type(backend).put is Backend.put:
                expect(Unsupported, "put", backend.put, path, world.missing, do="leave put as it is inherited")
                return
            if world.writable is None:
                pytest.skip("World.writable is not given")
            try:
                tree_only(backend.put, path, world.writable)
            except Unsupported:
                return
            try:
                got = b"".join(backend.get(backend.stat(world.writable), 0, None))
            except DflyError as error:
                broken(
                    "put", f"wrote nothing that can be read: {error.message}", do="return once the origin has the file"
                )
            promise(got == path.read_bytes(), "put", "reads back other bytes", do="send the file as it is")

    def test_close_may_be_called_twice(self, backend: Backend, world: World) -> None:
        """Unwinding after an error may close what is closed."""
        backend.stat(world.file)
        for _ in range(2):
            try:
                backend.close()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                broken("close", f"close raised {error!r}", do="return quietly where nothing is left to release")
