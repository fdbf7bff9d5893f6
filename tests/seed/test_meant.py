"""What an operator calls a snapshot: by its id or the beginning of it, by its source, by a URL that was asked for."""

import attrs
import pytest

from dfly.errors import UsageError
from dfly.seed.operators.meant import meant


@attrs.frozen
class Kept:
    task: str
    names: tuple[str, ...] = ()


WHOLE = Kept("2fa51fa2ddd5a63c6d6b8e675ea8f279", ("hub://model@1", "hub://model"))
PART = Kept("2fa51fb01f1c0be610507f1d4c5a1407", ("hub://model@1", "hub://model"))
PRIVATE = Kept("b01f1c0be610507f1d4c5a14070b1e90-seal", ("hub://secret@1",))
ALL = [WHOLE, PART, PRIVATE]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("hub://model", [WHOLE, PART]),
        ("hub://model@1", [WHOLE, PART]),
        (PART.task, [PART]),
        (PRIVATE.task, [PRIVATE]),
        ("b01f1c0be610507f1d4c5a14070b1e90", [PRIVATE]),
        ("2fa51fa2", [WHOLE]),
        ("b01f1c", [PRIVATE]),
        ("b01f1", []),
        ("c0ffee", []),
        ("hub://mode", []),
        ("", []),
        ("b01f1c0be610507f1d4c5a14070b1e90-", []),
        ("b01f1c0be610507f1d4c5a14070b1e90-se", []),
    ],
)
def test_a_name_means_what_goes_by_it(name, found):
    assert meant(name, ALL) == found


def test_the_beginning_of_several_ids_means_none_of_them():
    with pytest.raises(UsageError, match=r"2 ids begin with 2fa51f: 2fa51fa2.*, 2fa51fb0"):
        meant("2fa51f", ALL)


def test_an_id_is_no_less_one_where_a_second_task_has_it():
    again = Kept("b01f1c0be610507f1d4c5a14070b1e90-other")
    assert meant("b01f1c0b", [PRIVATE, again]) == [PRIVATE, again]
