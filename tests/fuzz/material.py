"""What strangers send: JSON of the wrong shape, numbers of the wrong size, headers that are none, messages with one thing spoilt.

`@fuzz(…)` is hypothesis' `@given` with a fixed seed, so that a run of `make test` is as good as the last one. With
DFLY_FUZZ=long it draws twenty times as many, another seed each time; `tests/fuzz/test_long.py` does that.
"""

import json
import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LONG = os.environ.get("DFLY_FUZZ") == "long"
_SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


def fuzz(*arguments: Any, examples: int = 60, **named: Any) -> Callable[[Any], Any]:
    """Run a test with what the strategies draw, `examples` times."""
    bounded = settings(
        max_examples=examples * 20 if LONG else examples,
        derandomize=not LONG,
        database=None,
        deadline=None,
        print_blob=LONG,
        suppress_health_check=(*_SLOW, HealthCheck.function_scoped_fixture),
    )
    return lambda test: bounded(given(*arguments, **named)(test))


#: Numbers at which something ends: 32 and 64 bits, floats, and Python's own limit for digits.
numbers = st.sampled_from([0, -1, 1 << 31, 1 << 53, 1 << 60, (1 << 63) - 1, 1 << 64, 10**400]) | st.integers()
floats = st.sampled_from([float("inf"), float("-inf"), float("nan"), 1e308, -0.0]) | st.floats()
#: Surrogates, NUL and control characters included.
texts = st.text(st.characters(), max_size=12) | st.sampled_from(["", "..", "/", "\0", "\ud800", "a" * 5000, "é"])
junk = st.recursive(
    st.none() | st.booleans() | numbers | floats | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
#: Digits beyond what `int` converts, in scripts that `isdigit` knows and `int` does not, and plain numbers.
digits = st.integers(0, 1 << 70).map(str) | st.sampled_from(
    ["9" * 5000, "²", "٣", "-1", "+1", "1_0", "0x10", "1e9", " 7"]
)
#: As a header may be: no line ends, and bytes beyond ASCII as latin-1.
headers = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30) | digits
raw_bodies = st.binary(max_size=60) | junk.map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 5000)


@st.composite
def spoilt(draw: st.DrawFn, whole: Any) -> Any:
    """JSON with one thing in it, anywhere, replaced by junk, taken away or doubled."""
    value = json.loads(json.dumps(whole))
    places = list(_places(value))
    if not places:
        return draw(junk)
    holder, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(["replace", "replace", "remove", "double"])):
        case "remove":
            del holder[key]
        case "double" if isinstance(holder, list):
            holder.insert(key, holder[key])
        case _:
            holder[key] = draw(junk)
    return value


def _places(value: Any) -> Any:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


@st.composite
def torn(draw: st.DrawFn, body: bytes) -> bytes:
    """The same bytes with one changed, cut off there, or with more in between."""
    at = draw(st.integers(0, len(body)))
    return body[:at] + draw(st.binary(max_size=4)) + draw(st.sampled_from([b"", body[at:], body[at + 1 :]]))
