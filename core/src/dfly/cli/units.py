"""Sizes, rates and durations as people write and read them.

What is read follows curl and aria2: `50M` is 50 × 1024² bytes/s. What is shown follows the hubs' pages: 1 MB is 10⁶.
"""

import re

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
#: In seconds, and in bytes: what clocks and 64 bits still hold.
_LONGEST = 100 * 365 * 86400.0
_MOST = 2**63 - 1
_UNITS = ("kB", "MB", "GB", "TB", "PB")


def parse_rate(text: str) -> int:
    """Bytes per second. Raises ValueError with what to write instead.

    >>> parse_rate("50M"), parse_rate("1.5k")
    (52428800, 1536)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?(?:/s)?", text.strip().lower())
    rate = float(match[1]) * 1024 ** _POWERS[match[2]] if match else 0.0
    if not 1 <= rate < _MOST:
        raise ValueError(f"{text!r} is not a rate; write bytes per second, as 800k, 50M or 1.5G (1k is 1024)")
    return int(rate)


def parse_duration(text: str, *, zero: bool = False) -> float:
    """Seconds; none at all only where `zero` has a meaning. Raises ValueError with what to write instead.

    >>> parse_duration("5m"), parse_duration("1h30m")
    (300.0, 5400.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip().lower())
    whole = "".join(number + unit for number, unit in parts)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    bare = sum(not unit for _, unit in parts)
    possible = 0 < seconds <= _LONGEST or (zero and parts and not seconds)
    if whole != text.strip().lower() or not possible or (bare and len(parts) > 1):
        raise ValueError(f"{text!r} is not a duration; write 30s, 5m, 2h or 1h30m")
    return seconds


def size_text(count: float) -> str:
    """A number of bytes in three digits.

    >>> size_text(999), size_text(90_868_376), size_text(1_500)
    ('999 B', '90.9 MB', '1.50 kB')
    """
    if count < 1000:
        return f"{count:.0f} B"
    for unit in _UNITS:
        count /= 1000
        if count < 999.5 or unit == _UNITS[-1]:
            break
    return f"{count:.{2 if count < 9.995 else 1 if count < 99.95 else 0}f} {unit}"


def rate_text(per_second: float) -> str:
    """Bytes per second in three digits."""
    return f"{size_text(per_second)}/s"


def duration_text(seconds: float) -> str:
    """A duration at a glance.

    >>> duration_text(1.23), duration_text(75), duration_text(7_260)
    ('1.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def after_text(seconds: float) -> str:
    """When something happens: `at once`, `in 1.2 s`."""
    return "at once" if seconds < 0.05 else f"in {duration_text(seconds)}"


def count_text(number: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def printable(text: str) -> str:
    """`text` with control characters replaced: what an origin calls a file or an error must not drive the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
