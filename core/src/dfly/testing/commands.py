"""dfget and dfctl run in this process: what they print and how they end is the same, and no interpreter has to start.

def test_it_comes(capfd, tmp_path):
done = run_here("dfget", "gopher://hole/mole", "-O", tmp_path / "mole", captured=capfd, GOPHER_TOKEN="t")
assert done.code == 0, done.err
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any
from unittest import mock

import attrs

from dfly.plugins import Plugins

if TYPE_CHECKING:
    import pytest


@attrs.frozen
class Outcome:
    """The exit code of a command, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The events of that name."""
        return [event for event in self.events if event["event"] == name]


def run_here(program: str, *argv: object, captured: pytest.CaptureFixture[str], **env: str) -> Outcome:
    """Run "dfget" or "dfctl" with the plugins that are installed and `env` over this environment; `captured` is `capfd`.

    What was printed before is lost.
    """
    from dfly.cli import dfctl, dfget

    run = {"dfget": dfget.run, "dfctl": dfctl.run}[program]
    captured.readouterr()
    with mock.patch.dict(os.environ, {"COLUMNS": "100", **env}):
        code = run([str(each) for each in argv], plugins=Plugins())
    sys.stdout.flush()
    return Outcome(code, *captured.readouterr())
