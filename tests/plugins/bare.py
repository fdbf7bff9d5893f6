"""What is published, as its user gets it: wheels, and environments that have nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
#: As the Makefile leaves it; pip alone takes longer.
UV = ROOT / ".uv"


def run(*command: str | Path, cwd: Path = ROOT, **env: str) -> str:
    """What a command prints, run without this workspace on its path."""
    done = _done(command, cwd, env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _done(command: tuple[str | Path, ...], cwd: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**inherited, **env}, capture_output=True, text=True
    )


def build_wheel(project: Path, folder: Path) -> Path:
    """The wheel of the distribution in `project`, put into `folder`."""
    before = set(folder.glob("*.whl"))
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project)
    (made,) = set(folder.glob("*.whl")) - before
    return made


@attrs.frozen
class BareEnvironment:
    """A virtual environment at `path`. Commands run in it start in the folder around it."""

    path: Path

    @classmethod
    def create(cls, path: Path, *wheels: Path) -> "BareEnvironment":
        """Make it, and install `wheels` with what they depend on."""
        made = cls(path)
        if UV.is_dir():
            run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, path, PYTHONPATH=str(UV))
        else:
            run(sys.executable, "-m", "venv", path)
        made.install(*wheels)
        return made

    def command(self, name: str) -> Path:
        """The path of an installed command."""
        return self.path / "bin" / name

    def install(self, *wanted: str | Path) -> None:
        """Install wheels, or distributions by name."""
        python = self.command("python")
        if UV.is_dir():
            uv = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python)
            command = (*uv, "--constraint", ROOT / "constraints.txt", *wanted)
            env = {"PYTHONPATH": str(UV), "UV_SYSTEM_CERTS": "1"}
            # make has fetched all of it: an index that is slow or away need not be asked
            if _done((*command, "--offline"), ROOT, env).returncode:
                run(*command, **env)
        else:
            run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", *wanted)

    def run(self, name: str, *argv: str | Path, **env: str) -> str:
        """What an installed command prints."""
        return run(self.command(name), *argv, cwd=self.path.parent, **env)

    def fail(self, name: str, *argv: str | Path, **env: str) -> str:
        """What an installed command prints that does not succeed, errors included."""
        done = _done((self.command(name), *argv), self.path.parent, env)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    @contextmanager
    def seed_peer(self, data: Path, **env: str) -> Iterator[str]:
        """A seed peer on loopback, until the block ends; its URL."""
        argv = [self.command("dfdaemon"), "--seed-peer", "--listen", "127.0.0.1:0", "--data-dir", data]
        with subprocess.Popen(
            [str(part) for part in argv],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                yield process.stdout.readline().split()[-1]
            finally:
                process.kill()
