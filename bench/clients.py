"""The downloaders that are compared on one machine, each with the command line of a user in a hurry."""

import importlib.util
import os
import shlex
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs

_BIN = Path(sys.executable).parent


@attrs.frozen
class File:
    """One file behind a plain URL; with `sha256` (hex) everybody has to hold it against that."""

    url: str
    size: int
    sha256: str = ""

    @property
    def files(self) -> dict[str, int]:
        """What is there afterwards: path → bytes."""
        return {"file": self.size}


@attrs.frozen
class Repository:
    """A repository of a hub at `endpoint`, with `files`: path → bytes."""

    endpoint: str
    repo: str
    files: dict[str, int]

    def url(self, path: str) -> str:
        """Where the hub serves one file."""
        return f"{self.endpoint}/{self.repo}/resolve/main/{path}"


Target = File | Repository


class Client(ABC):
    """A program that can fetch targets. `environment` goes on top of a clean one."""

    name: ClassVar[str]
    environment: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def missing(self) -> str | None:
        """Why it cannot run here, None where it can."""

    @abstractmethod
    def argv(self, target: Target, destination: Path) -> list[str] | None:
        """The command that puts the target's files below `destination`; None where the program has no such thing."""


class Curl(Client):
    """One stream for a file; for many, a configuration file and eight at a time."""

    name = "curl"

    def missing(self) -> str | None:
        return _not_on_path("curl")

    def argv(self, target: Target, destination: Path) -> list[str] | None:
        quiet = ["curl", "--silent", "--show-error", "--fail", "--location"]
        if isinstance(target, File):
            argv = [*quiet, "--output", str(destination / "file"), target.url]
            return _then_sha256sum(argv, target, destination) if target.sha256 else argv
        config = destination.with_suffix(".curl")
        config.write_text(
            "".join(f'url="{target.url(path)}"\noutput="{destination / path}"\n' for path in target.files)
        )
        return [*quiet, "--create-dirs", "--parallel", "--parallel-max", "8", "--config", str(config)]


class Aria2(Client):
    """Eight connections to a file, or eight files at a time."""

    name = "aria2c -x8"

    def missing(self) -> str | None:
        reason = _not_on_path("aria2c")
        return reason and f"{reason} (Debian: apt-get install aria2)"

    def argv(self, target: Target, destination: Path) -> list[str] | None:
        quiet = ["aria2c", "--quiet", "--no-conf", "--file-allocation=none", "-x8", "-s8", "-j8", "-k1M"]
        if isinstance(target, File):
            checked = [f"--checksum=sha-256={target.sha256}"] if target.sha256 else []
            return [*quiet, *checked, "--dir", str(destination), "--out", "file", target.url]
        listing = destination.with_suffix(".aria2")
        listing.write_text("".join(f"{target.url(path)}\n  out={path}\n" for path in target.files))
        return [*quiet, "--dir", str(destination), "--input-file", str(listing)]


class HuggingFace(Client):
    """The hub's own client, which uses its Xet extension where the hub offers it."""

    name = "hf download"
    environment: ClassVar[Mapping[str, str]] = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}

    def missing(self) -> str | None:
        if importlib.util.find_spec("hf_xet") is None:
            return "hf_xet is not installed (it is in the bench dependency group)"
        return None if (_BIN / "hf").exists() else "huggingface_hub is not installed"

    def argv(self, target: Target, destination: Path) -> list[str] | None:
        if isinstance(target, File):
            return None
        return [str(_BIN / "hf"), "download", target.repo, "--local-dir", str(destination)]


class HuggingFaceWithoutXet(HuggingFace):
    """The same, plain HTTP."""

    name = "hf download, no xet"
    environment: ClassVar[Mapping[str, str]] = {**HuggingFace.environment, "HF_HUB_DISABLE_XET": "1"}

    def missing(self) -> str | None:
        return None if (_BIN / "hf").exists() else "huggingface_hub is not installed"


class Dfget(Client):
    """Ours, as anybody would call it."""

    name = "dfget"

    def missing(self) -> str | None:
        return None if (_BIN / "dfget").exists() else "dfget is not installed"

    def argv(self, target: Target, destination: Path) -> list[str] | None:
        if isinstance(target, File):
            checked = ["--digest", f"sha256:{target.sha256}"] if target.sha256 else []
            return [str(_BIN / "dfget"), target.url, *checked, "-O", str(destination / "file")]
        return [str(_BIN / "dfget"), f"hf://{target.repo}", "-r", "-O", f"{destination}/"]


#: The first is the one that ratios refer to.
CLIENTS: tuple[Client, ...] = (Curl(), Aria2(), HuggingFace(), HuggingFaceWithoutXet(), Dfget())


def environment(client: Client, target: Target | None, home: Path) -> dict[str, str]:
    """A clean environment with `home` for caches and tokens: nobody's proxy, nobody's account."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    endpoint = {"HF_ENDPOINT": target.endpoint} if isinstance(target, Repository) else {}
    return {**kept, "HOME": str(home), "HF_HOME": str(home / "hf"), **endpoint, **client.environment}


def _then_sha256sum(argv: list[str], target: File, destination: Path) -> list[str]:
    """What people do whose downloader does not verify."""
    right = f"{target.sha256}  {destination / 'file'}"
    return ["sh", "-c", f"{shlex.join(argv)} && echo {shlex.quote(right)} | sha256sum --check --quiet"]


def _not_on_path(program: str) -> str | None:
    return None if shutil.which(program) else f"{program} is not installed"
