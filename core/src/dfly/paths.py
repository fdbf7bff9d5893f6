"""Which names from a listing may be written to this machine. Everything else is refused before the first byte.

A hub's listing is a stranger's input: a name that leaves its folder, that Windows or macOS would read as another, or that two
entries share, would write over somebody's file. The rules are the same on every system, so a snapshot that one node
accepts, all accept.
"""

import unicodedata
from collections.abc import Iterable

from dfly.errors import UnsafePath

LONGEST_NAME = 255
LONGEST_PATH = 4096 - 256
_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in "123456789")}
#: Where tools keep their own books inside an output folder; a listing must not write there. The first one may be in any folder.
RESERVED = (".dfly", ".cache/huggingface")


def problem(path: str) -> str | None:
    """Why `path` is unsafe, or None.

    >>> problem("model/weights.bin"), problem("../x")
    (None, 'leaves its folder')
    """
    if not path:
        return "empty name"
    if "\0" in path or any(ord(c) < 32 or ord(c) == 127 for c in path):
        return "control character"
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "not valid UTF-8"
    if path.startswith(("/", "\\")) or (len(path) > 1 and path[1] == ":" and path[0].isalpha()):
        return "absolute"
    if len(encoded) > LONGEST_PATH:
        return f"longer than {LONGEST_PATH} bytes"
    # as a file system that ignores case would read it: the ligature in `.dﬂy` is two letters there
    folded = f"/{_fold(path)}/"
    if folded.startswith(tuple(f"/{name}/" for name in RESERVED)) or f"/{RESERVED[0]}/" in folded:
        return "reserved for local bookkeeping"
    return next((why for part in path.split("/") if (why := _part_problem(part))), None)


def _part_problem(part: str) -> str | None:
    if part in ("", "."):
        return "empty component"
    if ".." in part.replace("\\", "/").split("/"):
        return "leaves its folder"
    if "\\" in part:
        return "backslash"
    if part.endswith((".", " ")):
        return "ends in a dot or space"
    if len(part.encode("utf-8")) > LONGEST_NAME:
        return f"a component longer than {LONGEST_NAME} bytes"
    if part.split(".", maxsplit=1)[0].lower() in _DEVICES:
        return "a device name on Windows"
    return None


def refuse_unsafe(paths: Iterable[str]) -> None:
    """Raise UnsafePath if any name is unsafe, if two collide (case or Unicode form apart), or one is file and folder."""
    listed = list(paths)
    problems = [(path, why) for path in listed if (why := problem(path))]
    seen: dict[str, str] = {}
    for path in listed:
        key = _fold(path)
        if key in seen:
            problems.append((path, f"collides with {seen[key]!r}"))
        seen.setdefault(key, path)
    folders: dict[str, str] = {}
    for path in listed:
        parts = _fold(path).split("/")
        for depth in range(1, len(parts)):
            folders.setdefault("/".join(parts[:depth]), path)
    problems += [(path, f"is also a folder of {folders[key]!r}") for key, path in seen.items() if key in folders]
    if problems:
        raise UnsafePath(tuple(problems))


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
