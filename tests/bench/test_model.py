"""The model of large clusters: its page is what it computes now, and its parts mean what the page says."""

from pathlib import Path

import attrs
import pytest
from bench.model import GB, GBIT, NICS, ORIGINS, SIZE, Constants, constants, estimate, filled, tables

from dfly.layout import Layout

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
SOME = Constants(
    line=600, report=1e-4, write=1e-5, base=5e7, listener=2e4, seed_cpu=4, node_cpu=3, egress=1.01, hop=0.02, share=0.9,
    session=0.8 * GB,
)  # fmt: skip


def test_the_page_has_the_tables_that_the_raw_results_give():
    page = PAGE.read_text()
    assert filled(page, list(tables(constants()))) == page, "run: python -m bench.model --write docs/scaling.md"


def test_every_raw_result_is_there_and_valid_where_it_tells_a_time():
    assert all(value > 0 for value in attrs.astuple(constants()))


def test_the_origin_s_time_does_not_depend_on_the_nodes():
    few, many = (estimate(SOME, nodes=nodes, origin=GBIT, nic=10 * GBIT) for nodes in (2, 1000))
    assert few.limit == many.limit == "origin"
    assert many.seconds - few.seconds == pytest.approx(499 * (2 * Layout(SIZE).piece_length / (0.8 * GB) + SOME.hop))
    assert few.seconds < 1.01 * SIZE / GBIT


@pytest.mark.parametrize(
    ("origin", "nic", "limit", "rate"),
    [(1, 10, "origin", GBIT), (10, 100, "session", 0.72 * GB), (10, 5, "NIC", 0.9 * 5 * GBIT)],
    ids=["slow origin", "fast links", "slow links"],
)
def test_the_slowest_part_sets_the_rate(origin, nic, limit, rate):
    found = estimate(SOME, nodes=50, origin=origin * GBIT, nic=nic * GBIT)
    assert (found.limit, found.rate) == (limit, pytest.approx(rate))


def test_nothing_is_faster_than_its_bound():
    for origin in ORIGINS:
        for nic in NICS:
            found = estimate(SOME, nodes=200, origin=origin * GBIT, nic=nic * GBIT)
            assert found.seconds >= SIZE / min(origin * GBIT, nic * GBIT)


def test_a_page_without_room_for_a_table_is_refused():
    with pytest.raises(ValueError, match="1 marks for 2 tables"):
        filled("<!-- python -m bench.model --><!-- end -->", ["one", "two"])
