"""docs/operate.md says nothing that is not so: its commands are commands, its files are there, its values are the chart's."""

import re
import shlex

import helm_python
import pytest
import yaml

from .commands import ROOT, every_flag, only_flags_there_are
from .conftest import CHART, render, words

PAGE = ROOT / "docs/operate.md"
TEXT = PAGE.read_text()
SHOWN = re.findall(r"^\$ (.+)$", TEXT, re.MULTILINE)
INLINE = re.findall(r"`([^`\n]+)`", TEXT)
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def ours() -> list[list[str]]:
    """The command lines of our own programs, here and in a pod."""
    inside = (shlex.split(line.partition("  #")[0].partition(" < ")[0].rpartition(" -- ")[2]) for line in SHOWN)
    return [line for line in inside if line[0] in ("dfctl", "dfget", "dfdaemon")]


@pytest.mark.parametrize("line", ours(), ids=lambda line: " ".join(line[:2]))
def test_every_command_of_ours_has_these_flags(line):
    only_flags_there_are(line)


def test_there_are_commands_to_look_at():
    assert {line[1] for line in ours()} >= {"status", "ls", "export", "import"}


def test_every_flag_that_is_mentioned_is_one_of_ours():
    mentioned = {flag for text in INLINE for flag in re.findall(r"(?<![\w-])--[a-z][\w-]+", text)}
    theirs = {"--rm", "--no-index", "--comment"}
    assert mentioned - theirs <= every_flag()


def test_every_file_that_is_linked_or_named_is_there():
    linked = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", TEXT)]
    assert [link for link in linked if not (PAGE.parent / link).exists()] == []
    named = {text for text in INLINE + SHOWN for text in re.findall(r"\b(?:deploy|tests|docs)/[\w./-]+", text)}
    assert named
    assert [path for path in named if not (ROOT / path.rstrip("/")).exists()] == []


def test_every_value_of_the_chart_that_is_mentioned_is_there():
    mentioned = [text for text in INLINE if re.fullmatch(r"[a-z]\w*(?:\.\w+)+", text) and text.split(".")[0] in VALUES]
    assert len(mentioned) > 5
    for path in mentioned:
        at = VALUES
        for name in path.split("."):
            assert name in at, path
            at = at[name]


def test_helm_install_as_shown_is_a_release_of_this_chart():
    (line,) = (shlex.split(line) for line in SHOWN if line.startswith("helm install"))
    name, chart = line[2:4]
    assert ROOT / chart == CHART
    rendered = render(helm_python.parse_set_string(line[line.index("--set") + 1]), name=name)
    waited = {
        word
        for line in SHOWN
        if "rollout status" in line
        for word in re.findall(r"(?:statefulset|daemonset)/\S+", line)
    }
    there = {f"{o['kind'].lower()}/{o['metadata']['name']}" for o in rendered.objects}
    assert waited
    assert waited <= there


def test_the_ports_are_those_of_the_chart():
    table = dict(re.findall(r"^\| (\d+)/tcp \| ([\w ]+) \|", TEXT, re.MULTILINE))
    assert table[str(VALUES["seedPeer"]["port"])] == "seed peer"
    assert table[str(VALUES["node"]["peerPort"])] == "node"
    assert table[str(VALUES["node"]["port"])] == "node"


def test_a_directory_that_is_named_in_a_command_for_a_pod_is_there():
    (container,) = render({"operatorToken": {"value": "x"}, "tls": {"existingSecret": "t"}}).the("StatefulSet")["spec"][
        "template"
    ]["spec"]["containers"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in re.findall(r"/etc/dfly/[\w./-]+", "\n".join(line for line in SHOWN if line.startswith("kubectl exec"))):
        assert any(path.startswith(f"{at}/") for at in mounts), path
    assert "--operator-token-file=/etc/dfly/secrets/operator-token" in words(container)


def test_make_has_the_target_that_is_shown():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = [line.split()[1] for line in SHOWN if line.startswith("make ")]
    assert shown
    assert set(shown) <= set(targets)


def test_every_alert_is_explained_and_no_other():
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    alerts = {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}
    assert dict(re.findall(r"^\| `(Dfly\w+)` \| (\w+) \|", TEXT, re.MULTILINE)) == alerts
