"""dfget over a toy hub and a stand-in for `dfly.fetch`. As a script, a dfget whose URLs say what it does.

toy://file            three events, one file
toy://there           everything is there already
toy://until-cancelled fetches until it is cancelled, and says so
toy://deaf            ignores the cancel event
toy://chatty          emits events until it is cancelled
toy://retrying        has trouble on the way
toy://pipe            writes bytes to standard output until that breaks
toy://bug             has one, with a secret in it
toy://error-<Name>    raises that error
toy://log             logs a secret, then succeeds
"""

import sys
import threading

import attrs

import dfly
from dfly import errors
from dfly.backend import Backend, option
from dfly.cli.dfget import run
from dfly.events import (
    BytesArrived,
    FileFinished,
    FileSkipped,
    FileStarted,
    FileVerified,
    Retrying,
    SnapshotResolved,
    TaskFinished,
    Warned,
)
from dfly.plugins import Plugins


@attrs.frozen
class ToyOptions:
    token = option(help="opens [private] toys", env=("TOY_TOKEN",), secret=True)
    color = option("red", help="which toys.")
    header = option(help="sent along", repeated=True, flags=("--header", "--output"))


class Toys(Backend):
    """The toy shop [all floors].

    More words.
    """

    schemes = ("toy",)
    options = ToyOptions
    examples = ("toy://shelf/car -O car",)

    def stat(self, url):
        raise NotImplementedError

    def list(self, url):
        raise NotImplementedError


class Boats(Toys):
    """Boats."""

    schemes = ("boat", "ship")
    examples = ()

    @attrs.frozen
    class options:
        size = option(help="in metres")
        header = option(help="not this one", flags=("--header",))


@attrs.frozen(kw_only=True)
class Planned:
    path: str
    output: str
    size: int | None
    present: bool


@attrs.frozen(kw_only=True)
class Report:
    url: str
    output: str
    files: int
    bytes: int
    skipped: int
    seconds: float
    sources: dict
    plan: tuple = ()


class StandIn:
    """Records how it was called and behaves as its URL says."""

    def __init__(self):
        self.calls = []

    def __call__(self, url, output, **given):
        self.calls.append((url, output, given))
        kind = (url if isinstance(url, str) else url[0]).partition("://")[2]
        return getattr(self, "_" + kind.partition("-")[0])(kind, output or "car.bin", given)

    def _file(self, kind, output, given):
        emit = given["on_event"]
        digest = "sha256:" + "0" * 64
        emit(SnapshotResolved(url="toy://file@1", revision="1", snapshot="s", files=1, bytes=2_000_000))
        emit(FileStarted(path="car.bin", bytes=2_000_000, had=500_000))
        emit(BytesArrived(path="car.bin", bytes=1_500_000, source="hub"))
        emit(FileVerified(path="car.bin", digest=digest))
        emit(FileFinished(path="car.bin", output=output, bytes=2_000_000))
        plan = (
            (
                Planned(path="car.bin", output=output, size=2_000_000, present=False),
                Planned(path="b/\x1b[31mred", output="b/\x1b[31mred", size=None, present=True),
            )
            if given["dry_run"]
            else ()
        )
        facts = {"url": "toy://file@1", "output": output, "files": 1, "bytes": 2_000_000, "skipped": 0, "seconds": 0.5}
        emit(TaskFinished(**facts, sources={"hub": 1_500_000}))
        return Report(**facts, sources={"hub": 1_500_000}, plan=plan)

    def _there(self, kind, output, given):
        given["on_event"](SnapshotResolved(url="toy://there@1", revision="1", snapshot="s", files=1, bytes=7))
        given["on_event"](FileSkipped(path="car.bin", bytes=7))
        return Report(url="toy://there@1", output="shop/car", files=1, bytes=7, skipped=1, seconds=0.1, sources={})

    def _until(self, kind, output, given):
        given["on_event"](FileStarted(path="car.bin", bytes=100, had=0))
        given["on_event"](Warned(message="ready"))
        given["cancel"].wait()
        raise errors.Cancelled

    def _deaf(self, kind, output, given):
        given["on_event"](Warned(message="ready"))
        threading.Event().wait()

    def _chatty(self, kind, output, given):
        while not given["cancel"].is_set():
            given["on_event"](BytesArrived(path="car.bin", bytes=1, source="hub"))
        raise errors.Cancelled

    def _retrying(self, kind, output, given):
        given["on_event"](FileStarted(path="a\x1b[2Jb", bytes=100, had=0))
        given["on_event"](Retrying(path="a\x1b[2Jb", cause="the hub answered 503", after=2.0))
        given["on_event"](Warned(message="odd hub"))
        return Report(
            url="toy://retrying", output="car", files=1, bytes=100, skipped=0, seconds=1, sources={"hub": 100}
        )

    def _pipe(self, kind, output, given):
        while True:
            given["stdout"].write(b"x" * 65536)
            given["stdout"].flush()

    def _bug(self, kind, output, given):
        raise ValueError("cannot parse https://hub/a?X-Amz-Signature=s3cret")

    def _log(self, kind, output, given):
        import structlog

        from dfly.cli import logs

        secret = "s3cret"
        logs.configure("info", human="human" in kind)
        structlog.get_logger().info("segment.published", hf_token="s3cret", url="https://h/a?sig=s3cret", segment=3)
        structlog.get_logger().debug("not.shown")
        try:
            self._leak(secret)
        except ValueError:
            structlog.get_logger().exception("peer.banned")
        return self._there(kind, output, given)

    def _leak(self, token):
        raise ValueError(f"Authorization: Bearer {token}")

    def _error(self, kind, output, given):
        name = kind.partition("-")[2]
        raise getattr(dfly, name)(f"{name} happened", hint="do this")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], plugins=Plugins(extra=[Toys]), fetch=StandIn()))
