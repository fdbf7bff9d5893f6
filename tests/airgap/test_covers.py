"""What every plugin knows of a snapshot, and what a seed peer makes of it, whoever wrote the plugin."""

import pytest

from dfly.backend import build_options
from dfly.testing.lent import lent_tools
from dfly.testing.memory import memory_backend

FILES = {"config.json": b"{}", "onnx/model.onnx": b"model"}


@pytest.fixture
def hub():
    with lent_tools() as tools:
        backend_class = memory_backend({"tiny": FILES})
        yield lambda **options: backend_class(build_options(backend_class, options, {}), tools)


def test_a_whole_by_its_source_and_by_the_names_that_it_was_asked_by(hub):
    whole = hub().list("memory://tiny")
    for url in (whole.source, whole.source + "/", "memory://tiny", "memory://tiny/"):
        assert hub().covers(url, whole, names=("memory://tiny",)) == whole
    assert hub().covers("memory://tiny", whole) is None
    assert hub().covers("memory://tiny/onnx", whole, names=("memory://tiny",)) is None


def test_no_name_counts_where_an_option_may_say_otherwise(hub):
    whole = hub().list("memory://tiny")
    other = hub(revision="other")
    assert other.covers("memory://tiny", whole, names=("memory://tiny",)) is None
    assert other.covers(whole.source, whole) == whole


def test_a_secret_changes_nothing_of_what_a_name_means(hub):
    whole = hub().list("memory://tiny")
    assert hub(token="token").covers("memory://tiny", whole, names=("memory://tiny",)) == whole
