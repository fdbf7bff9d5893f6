"""Raw results on disk: one JSON file a run, never overwritten."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


def save(raw: dict[str, Any], *, directory: Path = RESULTS) -> Path:
    """Write a raw result; returns its file, named after its kind and time."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{raw['kind']}-{raw['when'].replace(':', '').replace('+0000', 'Z')}"
    taken = 0
    while True:
        path = directory / f"{stem}{f'-{taken}' if taken else ''}.json"
        try:
            with path.open("x") as file:
                json.dump(raw, file, separators=(",", ":"))
        except FileExistsError:
            taken += 1
        else:
            return path
