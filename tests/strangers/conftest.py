"""What every stranger's backend is tried with: `dfly.fetch`, and an eye on everything that is said meanwhile."""

import json
import logging
import random
from importlib.metadata import EntryPoints
from pathlib import Path

import attrs
import pytest

import dfly
from dfly.config import Fetch, Network, Patience
from dfly.events import Event
from dfly.plugins import Plugins
from dfly.testing.origin import FaultyOrigin

#: Three ranges long.
CONTENT = random.Random(4).randbytes(10 << 20)
QUICK = Patience(tries=3, first_delay=0.001, longest_delay=0.002)


class Stranger(dfly.Backend):
    """What all of them have in common: one file, at the URL that the test gives; `size` None where it is not told."""

    size: int | None = len(CONTENT)

    def stat(self, url: str) -> dfly.Entry:
        return dfly.Entry(url.rpartition("/")[2], self.size, url, url, validator="1")

    def list(self, url: str) -> dfly.Snapshot:
        return dfly.Snapshot(url, url.rpartition("/")[2], (self.stat(url),))


@attrs.frozen
class Fetching:
    """Fetches with one stranger's plugin installed and no other."""

    place: Path
    log: pytest.LogCaptureFixture
    printed: pytest.CaptureFixture[str]
    events: list[Event] = attrs.field(factory=list)

    def __call__(
        self, backend: type[dfly.Backend], url: str, *, network: Network | None = None, **options: str
    ) -> bytes:
        """The bytes of the file. Every value of `options` is a secret, and must not be seen anywhere."""
        (self.place / "out").unlink(missing_ok=True)
        self.events.clear()
        try:
            report = dfly.fetch(
                url,
                self.place / "out",
                plugins=Plugins(extra=[backend], entry_points=EntryPoints()),
                options={backend.prefix or backend.schemes[0]: options},
                on_event=self.events.append,
                patience=QUICK,
                settings=Fetch(concurrency=3),
                network=network,
            )
            said = [repr(report)]
        except dfly.DflyError as error:
            said = [str(error), repr(vars(error))]
            raise
        finally:
            self.must_not_tell(options.values(), said)
        return (self.place / "out").read_bytes()

    def must_not_tell(self, secrets, said) -> None:
        said += [repr(event) + json.dumps(event.as_dict()) for event in self.events]
        said += [self.log.text, *self.printed.readouterr()]
        assert self.events, "nothing was said, so nothing is shown"
        assert [secret for secret in secrets if secret in "\n".join(said)] == []


@pytest.fixture
def fetch(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    return Fetching(tmp_path, caplog, capfd)


@pytest.fixture
def origin():
    with FaultyOrigin() as running:
        yield running
