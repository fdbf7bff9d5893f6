"""Builds the wheels of a release into one folder, core's, each plugin's and `dfly`'s: `python deploy/release.py FOLDER [TAG]`

They are one product in several distributions, so they have one version: where two differ, or the tag is another, nothing is
built. The wheels are the same bytes whoever builds them from the same files.
"""

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def projects(root: Path) -> tuple[Path, ...]:
    """The folders of the distributions, core first."""
    return (root / "core", *sorted(file.parent for file in root.glob("plugins/*/pyproject.toml")), root / "meta")


def one_version(folders: Sequence[Path], *, tag: str = "") -> str:
    """The version that all of them have, and `tag` ("v1.2.3", empty for none). Raises ValueError naming who differs."""
    found = {}
    for folder in folders:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        found[project["name"]] = project["version"]
    if tag:
        found["the tag"] = tag.removeprefix("v")
    if len(set(found.values())) != 1:
        raise ValueError("versions differ: " + ", ".join(f"{name} {version}" for name, version in found.items()))
    return next(iter(found.values()))


def build(folders: Sequence[Path], into: Path) -> None:
    """One wheel for each. Raises CalledProcessError."""
    into.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into.resolve())]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """Check, build, and say what there is."""
    into, *tag = sys.argv[1:]
    folders = projects(ROOT)
    try:
        version = one_version(folders, tag="".join(tag))
    except ValueError as error:
        sys.exit(f"release: {error}")
    build(folders, Path(into))
    sys.stdout.write(f"{len(folders)} wheels of {version} in {into}\n")


if __name__ == "__main__":
    main()
