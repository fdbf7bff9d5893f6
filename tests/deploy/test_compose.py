"""compose.yaml is what the specification says, and its commands are commands of ours."""

import re
import subprocess

import yaml

from .commands import BIN, ROOT, only_flags_there_are

FILE = ROOT / "deploy/compose.yaml"
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
SERVICES = yaml.safe_load(FILE.read_text())["services"]


def test_it_is_what_the_compose_specification_says():
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_service_is_confined():
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name


def test_every_flag_there_is():
    for service in SERVICES.values():
        only_flags_there_are([*service.get("entrypoint", []), *service["command"]])


def test_the_node_joins_the_seed_peer_where_it_listens():
    seed, node = SERVICES["seed-peer"]["command"], SERVICES["node"]["command"]
    port = next(word.rpartition(":")[2] for word in seed if word.startswith("--listen="))
    assert f"--join=http://seed-peer:{port}" in node
    assert f":{port}/readyz" in SERVICES["seed-peer"]["healthcheck"]["test"][-1]
    own = next(word.rpartition(":")[2] for word in node if word.startswith("--listen="))
    assert f":{own}/readyz" in SERVICES["node"]["healthcheck"]["test"][-1]


def test_whatever_is_mounted_to_be_written_to_belongs_to_the_user_of_the_image():
    """A volume that is new has the owner of the directory it covers, and where there is none it is root's."""
    made = re.search(r"install --directory --owner 65532 .*?((?: /\S+)+)$", DOCKERFILE, re.MULTILINE)[1].split()
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service["volumes"]]
    written = {where for _, where, *mode in mounts if mode != ["ro"]}
    assert written == {"/var/lib/dfly", "/run/dfly", "/models"}
    assert written <= set(made)
