"""The command lines that deploy/ writes down, and what they mean on this machine: other paths, free ports, the same flags."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from typer.main import get_command

from dfly.cli import dfctl, dfdaemon, dfget
from dfly.cli.options import declared_flags
from dfly.plugins import Plugins

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def only_flags_there_are(argv: Sequence[str]) -> None:
    """Fails for a flag that the command does not have."""
    program = Path(argv[0]).name
    flags = {word.partition("=")[0] for word in argv if word.startswith("--")} - {"--help"}
    assert flags <= _flags(program, argv), f"{flags - _flags(program, argv)}: no flag of {program}"


def every_flag() -> set[str]:
    """The flags of all our programs."""
    return declared_flags(dfdaemon.dfdaemon).union(declared_flags(dfget.dfget), *map(_of, _subcommands(()).values()))


def _flags(program: str, argv: Sequence[str]) -> set[str]:
    if program == "dfctl":
        commands = _subcommands(argv[1:])
        assert argv[1] in commands, f"dfctl has no {argv[1]}"
        return _of(commands[argv[1]])
    return declared_flags({"dfdaemon": dfdaemon.dfdaemon, "dfget": dfget.dfget}[program])


def _subcommands(argv: Sequence[str]) -> Mapping[str, Any]:
    group: Any = get_command(dfctl._app(Plugins(), argv))
    found: Mapping[str, Any] = group.commands
    return found


def _of(command: Any) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts}


@attrs.frozen
class Here:
    """This machine in place of a container: `root` holds its directories, `seed_peers` are those that really run."""

    root: Path
    seed_peers: tuple[str, ...] = ()
    replaced: Mapping[str, str] = attrs.field(factory=dict)

    def command(self, words: Sequence[str]) -> list[str]:
        """The same command line with paths below `root`, loopback and free ports; programs are those of this environment."""
        program, *rest = words
        joined = iter(self.seed_peers)
        found = [str(BIN / program) if (BIN / program).exists() else program]
        for word in rest:
            if re.match(r"--(join|seed-peer)=", word):
                url = next(joined, None)
                found += [f"{word.partition('=')[0]}={url}"] if url else []
            else:
                found.append(self._adapted(word))
        return found

    def path(self, inside: str) -> Path:
        """Where a container's path is here."""
        return self.root / inside.lstrip("/")

    def _adapted(self, word: str) -> str:
        word = re.sub(r"^(--(?:metrics-)?listen)=.*", r"\1=127.0.0.1:0", word)
        word = re.sub(r"^--peer-port=\d+$", "--peer-port=0", word)
        for old, new in self.replaced.items():
            word = word.replace(old, new)
        return re.sub(r"(^|=)(/(?:var|run|etc|models)(?=/|$))", lambda m: f"{m[1]}{self.root}{m[2]}", word)
