import doctest

import pytest

from dfly.cli import options, progress, redaction, units
from dfly.cli.units import count_text, duration_text, parse_duration, parse_rate, printable, size_text


@pytest.mark.parametrize("module", [units, redaction, options, progress], ids=lambda m: m.__name__)
def test_the_examples_in_the_docstrings_hold(module):
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize(
    ("text", "rate"), [("1", 1), ("10k", 10240), ("50MB/s", 50 << 20), ("1.5GiB", 3 << 29), (" 2t ", 2 << 40)]
)
def test_rates_are_read_as_curl_reads_them(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "M", "-1M", "0", "5x", "1 0", "0.0001", "nan", "1e9", "9" * 400, "8388608T"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("2h", 7200), ("1d", 86400), ("0.5m", 30)])
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "h", "5 m", "-5m", "5m3", "3m 5", "1x", "9" * 400, "40000d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_no_time_at_all_is_a_duration_only_where_it_means_something():
    assert [parse_duration(text, zero=True) for text in ("0", "0s", "0.0m", "1s")] == [0, 0, 0, 1]
    for text in ("", "s", "-0s", "00 s"):
        with pytest.raises(ValueError, match="is not a duration"):
            parse_duration(text, zero=True)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1000, "1.00 kB"),
        (9_999, "10.0 kB"),
        (99_950, "100 kB"),
        (999_400, "999 kB"),
        (999_999, "1.00 MB"),
        (10**12, "1.00 TB"),
        (2 * 10**18, "2000 PB"),
    ],
)
def test_sizes_have_three_digits_and_never_a_thousand_of_a_unit(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.7, "1 min"), (3600, "1 h"), (3599.9, "1 h"), (7322, "2 h 2 min")],
)
def test_durations_are_rounded_before_they_are_cut_up(seconds, text):
    assert duration_text(seconds) == text


def test_one_is_singular():
    assert (count_text(1, "file"), count_text(2000, "file")) == ("1 file", "2,000 files")


def test_control_characters_do_not_reach_the_terminal():
    assert printable("a\x1b[31m\rb\n") == "a\ufffd[31m\ufffdb\n"
