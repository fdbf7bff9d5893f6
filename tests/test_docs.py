"""Every flag, option, key, error, event and route is in the docs, and the generated pages are what the code would write now."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import attrs
import pytest
from docs import routes

from dfly import errors, events
from dfly.backend import option_fields
from dfly.cli import dfget, output
from dfly.cli.options import declared_flags
from dfly.plugins import Plugins

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")


def classes(module, root: type) -> list[type]:
    found = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, root)]
    return [kind for kind in found if kind.__module__ == module.__name__]


def test_the_reference_is_what_the_code_says_now():
    code = "import docs.generate; print(docs.generate.page(), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == REFERENCE, "run: make docs"


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """What would be written of the routes of a seed peer and a daemon."""
    return routes.written()


def test_the_http_api_is_what_the_processes_answer_now(written):
    for name, text in written.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"{name}: run: make docs"


def test_every_route_says_what_it_does(written):
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \|", written["http-api.md"], re.MULTILINE)
    assert len(rows) > 30
    assert not [route for route, told in rows if not re.fullmatch(r".{8,}\.", told)], (
        "say it in the handler's docstring"
    )


def test_nothing_is_said_of_a_route_that_is_gone(written):
    known = set(re.findall(r"^\| `(.*?)` \|", written["http-api.md"], re.MULTILINE))
    assert not set(routes.SAID) - known


def test_openapi_names_every_parameter_of_a_path_and_no_operation_twice(written):
    for name in ("openapi/seed-peer.json", "openapi/node.json"):
        document = json.loads(written[name])
        operations = [(path, each) for path, found in document["paths"].items() for each in found.values()]
        assert len({each["operationId"] for _, each in operations}) == len(operations)
        for path, each in operations:
            assert [p["name"] for p in each.get("parameters", ())] == re.findall(r"\{(\w+)\}", path)


def test_every_key_of_the_config_file_is_described():
    section = REFERENCE.partition("\n## Config file\n")[2].partition("\n## ")[0]
    keys = set(re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE))
    flags = re.findall(r"`--([\w-]+)`", REFERENCE.partition("\n## dfdaemon")[2].partition("\n## ")[0])
    assert set(flags) - {"config", "version", "install-completion", "show-completion", "help"} <= keys


def test_every_page_is_in_the_index():
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages == set(re.findall(r"\]\((\w[\w-]*\.md)\)", (ROOT / "docs/index.md").read_text(encoding="utf-8")))


def test_every_link_of_a_page_leads_somewhere():
    for page in (ROOT / "docs").glob("*.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_whoever_comes_from_dragonfly_is_told_flags_that_there_are():
    page = (ROOT / "docs/from-dragonfly.md").read_text(encoding="utf-8")
    commands = page.partition("## Commands")[2].partition("## What is new")[0]
    ours = [row.split("|")[2] for row in commands.splitlines() if row.startswith("| `")]
    flags = {flag for cell in ours for flag in re.findall(r"`(--[a-z0-9-]+)", cell)}
    assert len(flags) > 15
    assert {flag for flag in flags if f"`{flag}" not in (ROOT / "docs/reference.md").read_text("utf-8")} == set()


def test_every_flag_of_dfget_is_described():
    for flag in declared_flags(dfget.dfget):
        assert f"`{flag}`" in REFERENCE


def test_every_option_of_every_plugin_is_described_with_its_variables():
    for backend in Plugins().load_all().values():
        for field in option_fields(backend):
            assert f"`{field.flag}`" in REFERENCE
            assert all(f"`{name}`" in REFERENCE for name in field.env)


@pytest.mark.parametrize("program", ["dfget", "dfctl", "dfdaemon"])
def test_every_flag_that_help_shows_is_described(program):
    command = str(Path(sys.executable).parent / program)
    shown = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    flags = set(re.findall(r"^(?:│|  (?:-\w, )?) ?(?:\* +)?(--[a-z][\w-]*)", shown, re.MULTILINE)) - {"--help"}
    assert flags
    assert not [flag for flag in flags if f"`{flag}`" not in REFERENCE]


@pytest.mark.parametrize("error", classes(errors, errors.DflyError))
def test_every_error_is_there_with_its_exit_code(error):
    assert re.search(rf"^\| (?:&ensp;)*`{error.__name__}` \| {error.exit_code} \|", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize(
    "event", classes(events, events.Event)[1:] + classes(output, events.Event), ids=lambda e: e.name
)
def test_every_event_is_there_with_its_fields(event):
    section = REFERENCE.partition(f"### {event.name}\n")[2].partition("\n#")[0]
    assert section
    assert re.findall(r"^\| `(\w+)`", section, re.MULTILINE) == [field.name for field in attrs.fields(event)]


def test_what_is_installed_is_pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line)
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name.startswith("dfly"):
            continue
        assert pins.get(name) == distribution.version.lower(), f"{name}: run make pins"
