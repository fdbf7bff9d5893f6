"""Every example in a docstring is run, and every public name has a docstring."""

import doctest
import enum
import importlib
import inspect
import os
import re
import typing
from pathlib import Path

import pytest

import dfly

GUIDE = (Path(__file__).parents[2] / "docs/python.md").read_text(encoding="utf-8")
#: Whose names are public: what a user or a plugin author imports from.
PUBLIC = (
    "dfly",
    "dfly.backend",
    "dfly.caches",
    "dfly.config",
    "dfly.endpoint",
    "dfly.errors",
    "dfly.events",
    "dfly.facade",
    "dfly.fs",
    "dfly.hearing",
    "dfly.node.opening",
    "dfly.node.fetch",
    "dfly.values",
)


def public_names(module) -> dict[str, object]:
    own = getattr(module, "__all__", None)
    names = own or [name for name in vars(module) if not name.startswith("_")]
    found = {name: getattr(module, name) for name in names}
    return {
        name: value
        for name, value in found.items()
        if (inspect.isclass(value) or inspect.isroutine(value))
        and (own or getattr(value, "__module__", None) == module.__name__)
    }


def undocumented(module) -> typing.Iterator[str]:
    for name, value in public_names(module).items():
        # a NewType or an alias has no docstring of its own
        if not (value.__doc__ or "").strip():
            yield name
        if not inspect.isclass(value) or issubclass(value, enum.Enum):
            continue
        for part, member in vars(value).items():
            plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if part.startswith("_") or not (inspect.isroutine(plain) or isinstance(plain, property)):
                continue
            if not (inspect.getdoc(getattr(value, part, plain)) or "").strip():
                yield f"{name}.{part}"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring(name):
    assert not list(undocumented(importlib.import_module(name)))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_example_is_true(name, plugins):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    given = {"dfly": dfly, "plugins": plugins, "os": os}
    for example in finder.find(module, globs=vars(module) | given):
        runner.run(example)
    assert not runner.failures


def test_every_example_of_the_guide_is_true(plugins):
    test = doctest.DocTestParser().get_doctest(
        GUIDE.replace("```", "\n"), {"plugins": plugins}, "python.md", "docs/python.md", 0
    )
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert test.examples
    assert not runner.failures


def test_every_name_of_the_package_is_in_the_guide():
    assert not [name for name in dfly.__all__ if not re.search(rf"\bdfly\.{name}\b", GUIDE)]


@pytest.mark.parametrize("name", ["fetch", "open", "snapshot"])
def test_what_users_call_has_an_example_and_names_its_units_and_errors(name):
    text = inspect.getdoc(getattr(dfly, name))
    assert ">>>" in text
    assert "Raises a" in text
    # `snapshot` has its own, and for the others names `open`
    told = text + inspect.getdoc(dfly.open) if "those of `dfly.open`" in text else text
    parameters = set(inspect.signature(getattr(dfly, name)).parameters) - {"url"}
    assert not [parameter for parameter in parameters if f"`{parameter}`" not in told and f"`{parameter}." not in told]


def test_events_are_the_values_that_json_prints(plugins):
    heard = []
    dfly.fetch("memory://tiny", "models/", recursive=True, plugins=plugins, on_event=heard.append)
    assert {event.as_dict()["event"] for event in heard} >= {"snapshot.resolved", "file.finished", "task.finished"}
