"""docs/plugins.md is true and complete: its code is the example's, its tables are the contract's, its messages the kit's."""

import inspect
import re
from pathlib import Path
from textwrap import dedent

import attrs
import pytest

import dfly
from dfly.backend import Backend, Request, Tools, option
from dfly.plugins import discovery, hookspecs
from dfly.testing.contract import PROMISES, World
from dfly.values import Entry, Snapshot

from .test_kit import BROKEN, TESTS, finding

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs" / "plugins.md").read_text()
EXAMPLE = ROOT / "tests" / "example_plugin"

SECTIONS = dict(re.findall(r"^## (.*)\n([\s\S]*?)(?=^## |\Z)", MANUAL, re.MULTILINE))


def documented(section: str, table: str) -> set[str]:
    """The names in the first column of the table whose head has `table` in its first column."""
    for head, rows in re.findall(r"^\| (.*?) \|.*\n\|[ |-]+\n((?:\|.*\n)+)", SECTIONS[section], re.MULTILINE):
        if head.strip("`") == table:
            return {name for row in rows.splitlines() for name in re.findall(r"`([\w.]+)", row.split(" | ")[0])}
    raise AssertionError(f"{section} has no table {table!r}")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", MANUAL, re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_the_walk_shows_every_line_of_the_example_in_its_order():
    tests = [(EXAMPLE / "tests" / name).read_text() for name in ("shelves.py", "test_contract.py")]
    shown = [block for block in blocks("python") if block not in tests]
    assert lines("".join(shown)) == lines((EXAMPLE / "dfly_shelf.py").read_text())
    assert [block for block in blocks("python") if block in tests] == tests
    assert blocks("toml") == [(EXAMPLE / "pyproject.toml").read_text()]


def test_the_index_that_is_shown_is_one_that_the_example_reads():
    (shown,) = blocks("json")
    for key in ("revision", "public", "files", "size", "sha256"):
        assert f'"{key}":' in shown
        assert key in (EXAMPLE / "dfly_shelf.py").read_text()


def test_every_hook_and_entry_point_group_is_documented():
    hooks = {name for name, value in vars(hookspecs).items() if hasattr(value, "dfly_spec")}
    assert documented("The hook", "hook") == hooks == {"dfly_backends", "dfly_endpoints"}
    assert documented("The hook", "entry-point group") == {discovery.SCHEMES, discovery.HOSTS}


def test_everything_that_a_backend_declares_and_does_is_documented():
    declared = {name for name, hint in Backend.__annotations__.items() if str(hint).startswith("ClassVar")}
    assert documented("The backend", "on the class") == declared
    methods = {name for name, _ in inspect.getmembers(Backend, inspect.isroutine) if not name.startswith("_")}
    assert documented("The backend", "method") == methods


@pytest.mark.parametrize(
    ("kind", "section", "table"),
    [
        (Entry, "The backend", "Entry"),
        (Snapshot, "The backend", "Snapshot"),
        (Tools, "The backend", "Tools"),
        (Request, "Requests", "Request"),
        (dfly.CacheLayout, "The cache of a hub's tools", "CacheLayout"),
        (dfly.CacheOrder, "The cache of a hub's tools", "CacheOrder"),
        (dfly.CachePlan, "The cache of a hub's tools", "CachePlan"),
        (dfly.CachedFile, "The cache of a hub's tools", "CachedFile"),
        (World, "Test it", "field"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_field_is_documented(kind, section, table):
    fields = {field.name for field in attrs.fields(kind)} - {"layout"}
    assert documented(section, table) == fields


def test_every_argument_of_option_is_documented():
    assert documented("Options", "argument") == set(inspect.signature(option).parameters)


def test_everything_that_speaks_to_a_hub_is_documented():
    endpoint = {field.name for field in attrs.fields(dfly.Endpoint)}
    endpoint |= {
        name for name, value in vars(dfly.Endpoint).items() if _is_a_method(value) and not name.startswith("_")
    }
    assert documented("Speaking to a hub", "Endpoint") == endpoint
    others = {"fetch", "open", "snapshot", "hookimpl", "option"}
    functions = {name for name in dfly.__all__ if inspect.isfunction(getattr(dfly, name))} - others
    assert documented("Speaking to a hub", "function") == functions


def _is_a_method(value: object) -> bool:
    return isinstance(value, property | classmethod) or inspect.isfunction(value)


def test_every_error_that_a_backend_may_raise_is_documented():
    raised = {name for name in dfly.__all__ if inspect.isclass(kind := getattr(dfly, name)) and _is_a_sources(kind)}
    assert documented("Errors to raise", "raise") == raised | {"UsageError", "NotAFile"}


def _is_a_sources(kind: type) -> bool:
    return issubclass(kind, dfly.SourceError) and kind is not dfly.SourceError


def promised() -> list[tuple[str, str, str]]:
    """Name, sentence and message of each promise in the manual."""
    shape = r"^\*\*`([\w.-]+)`\*\* (.*)\n\n((?:    .*\n)+)"
    return re.findall(shape, SECTIONS["Every promise"] + "\n", re.MULTILINE)


def test_every_promise_is_documented_in_its_own_words():
    assert {name: sentence for name, sentence, _ in promised()} == PROMISES
    assert len(promised()) == len(PROMISES)


def test_the_messages_that_are_shown_are_those_of_the_kit(new_memory):
    said: dict[str, list[str]] = {}
    for broken, promise, _ in BROKEN:
        for test in TESTS:
            memory = new_memory()
            world = attrs.evolve(memory.world, stranger=memory.build(broken, token="wrong"))
            found = finding(memory.build(broken), world, test)
            if found is not None:
                said.setdefault(promise, []).append(str(found))
    for name, _, message in promised():
        shown = dedent(message).strip()
        pattern = re.compile(".*".join(map(re.escape, shown.split("…"))), re.DOTALL)
        assert any(map(pattern.fullmatch, said[name])), f"{shown}\n\nis shown, and said is\n\n" + "\n".join(said[name])
