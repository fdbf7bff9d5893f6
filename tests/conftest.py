"""Skips what needs network namespaces, with the reason, where there are none."""

import pytest

from dfly.testing.netns import requires_namespaces

# a distribution of its own, whose tests run where its wheel is installed (tests/plugins/test_example.py)
collect_ignore = ["example_plugin"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("netns") and (reason := requires_namespaces()):
        pytest.skip(reason)
