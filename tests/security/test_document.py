"""SECURITY.md is held to what there is: every test that it names, and every module of tests that is about security."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", DOCUMENT)
#: What the issue lists of the audit.
FINDINGS = 19


def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("module", "test"), sorted(set(NAMED)))
def test_a_test_that_is_named_is_there(module, test):
    assert test in names_in(ROOT / module)


@pytest.mark.parametrize("folder", ["security", "liars", "fuzz"])
def test_every_module_about_security_is_named(folder):
    modules = {f"tests/{folder}/{path.name}" for path in (ROOT / "tests" / folder).glob("test_*.py")}
    assert modules
    assert modules - {module for module, _ in NAMED} <= {"tests/security/test_document.py"}


def test_nothing_is_named_that_looks_like_a_test_and_is_none():
    assert len(re.findall(r"::", DOCUMENT)) == len(NAMED) + 1
    assert "tests/security/test_document.py" in DOCUMENT


def test_every_finding_of_the_audit_is_answered():
    rows = re.findall(r"^\| (.+) \| (.+) \|$", DOCUMENT.partition("## The audit of 2023")[2], re.MULTILINE)[2:]
    assert len(rows) == FINDINGS
    assert all("::" in answer or "cannot apply" in answer for _, answer in rows)


def test_every_measure_shows_its_test():
    measures = DOCUMENT.partition("## Measures")[2].partition("## The audit")[0]
    lines = [line for line in measures.splitlines() if line.startswith("- ")]
    assert len(lines) > 40
    assert [line for line in lines if "::" not in line] == []
