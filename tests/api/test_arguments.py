"""What the functions are given: a string where several could be, what is misspelt, what contradicts itself."""

import io
from pathlib import Path

import pytest

import dfly
from dfly.config import Joining
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend

from .conftest import TINY


def test_a_string_is_one_pattern_and_not_its_letters(plugins):
    assert dfly.fetch("memory://tiny", "out", recursive=True, include="*.bin", plugins=plugins).files == 1
    assert dfly.fetch("memory://tiny", "rest", recursive=True, exclude="*.bin", plugins=plugins).files == 1
    assert len(dfly.snapshot("memory://tiny", include="*.bin", plugins=plugins).entries) == 1


def test_a_string_is_one_seed_peer(swarm, plugins):
    peer = swarm(plugins)
    assert Joining(seed_peers=peer.url, advertise="host").seed_peers == (peer.url,)
    report = dfly.fetch("memory://tiny", "out", recursive=True, seed_peers=peer.url, plugins=plugins)
    assert set(report.sources) == {"seed-peer"}
    with dfly.open("memory://tiny/model.bin", seed_peers=peer.url, plugins=plugins) as file:
        assert (file.read(), file.way) == (TINY["model.bin"], "seed-peer")


@pytest.mark.parametrize(
    ("options", "named", "there"),
    [
        ({"memry": {"token": "secret"}}, "'memry'", "memory"),
        ({"memory": {"tokn": "secret"}}, "'tokn'", "token, revision"),
    ],
)
def test_a_misspelt_option_is_named_and_nobody_is_asked_without_it(options, named, there):
    plugins = Plugins(extra=[memory_backend({"tiny": TINY})])
    for ask in (dfly.fetch, dfly.open, dfly.snapshot):
        with pytest.raises(dfly.UsageError, match=named) as error:
            ask("memory://tiny/model.bin", options=options, plugins=plugins)
        assert there in error.value.hint
        assert "secret" not in str(error.value)


def test_options_of_another_plugin_that_is_there_are_none_of_this_ones_business(plugins):
    given = {"hf": {"token": "t"}, "memory": {"revision": None}}
    assert dfly.fetch("memory://tiny", "out", recursive=True, options=given, plugins=plugins).files == 2


@pytest.mark.parametrize("given", [{}, {"stdout": io.BytesIO(), "dry_run": True}])
def test_a_pipe_needs_an_end_and_something_to_carry(plugins, given):
    with pytest.raises(dfly.UsageError):
        dfly.fetch("memory://tiny/model.bin", "-", plugins=plugins, **given)


def test_another_file_of_that_name_is_replaced_and_what_is_right_is_kept(plugins, here):
    (here / "config.json").write_bytes(b"the user's own")
    (here / "model.bin").write_bytes(TINY["model.bin"])
    report = dfly.fetch("memory://tiny", str(here), recursive=True, plugins=plugins)
    assert (report.skipped, report.sources) == (1, {"hub": 2})
    assert {path.name: path.read_bytes() for path in Path(here).iterdir()} == TINY
    again = dfly.fetch("memory://tiny", str(here), recursive=True, overwrite=True, plugins=plugins)
    assert (again.skipped, again.sources) == (0, {"hub": 26})
