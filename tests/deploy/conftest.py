"""The chart, rendered as Helm does, without a cluster and without a network."""

import copy
from pathlib import Path

import attrs
import helm_python
import pytest
import yaml

from .commands import ROOT

CHART = ROOT / "deploy/helm/dfly"
EXAMPLES = ROOT / "deploy/helm/examples"
#: The sets of values that are shown to users; "default" is none.
SETS = ("default", *sorted(path.stem for path in EXAMPLES.glob("*.yaml") if path.stem != "pod"))


@attrs.frozen
class Rendered:
    """What Kubernetes would be given, and what `helm install` would print."""

    objects: tuple[dict, ...]
    notes: str

    def the(self, kind: str, ending: str = "") -> dict:
        """The one object of this kind, or the one whose name ends so."""
        (found,) = (o for o in self.objects if o["kind"] == kind and o["metadata"]["name"].endswith(ending))
        return found

    def pods(self) -> dict[str, dict]:
        """The pod specs, by kind and name."""
        templates = {
            f"{o['kind']} {o['metadata']['name']}": o["spec"].get("template") for o in self.objects if "spec" in o
        }
        return {name: template["spec"] for name, template in templates.items() if template}

    def containers(self) -> dict[str, dict]:
        """Containers, those that only begin included, by pod and name."""
        return {
            f"{name} {container['name']}": container
            for name, pod in self.pods().items()
            for container in (*pod.get("initContainers", ()), *pod["containers"])
        }


def values_of(name: str) -> dict:
    """One of SETS."""
    return {} if name == "default" else yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())


def render(values: dict, *, name: str = "dfly", namespace: str = "default") -> Rendered:
    """What `helm install NAME deploy/helm/dfly` makes of these values. Raises helm_python.HelmError."""
    with helm_python.Chart.load(str(CHART)) as chart:
        texts = chart.render(copy.deepcopy(values), name=name, namespace=namespace)
    objects = [
        found
        for path, text in texts.items()
        if not path.endswith("NOTES.txt")
        for found in yaml.safe_load_all(text)
        if found
    ]
    (notes,) = (text for path, text in texts.items() if path.endswith("NOTES.txt"))
    return Rendered(tuple(objects), notes)


def words(container: dict) -> list[str]:
    """A container's whole command line."""
    return [*container["command"], *container.get("args", ())]


@pytest.fixture(params=SETS)
def rendered(request) -> Rendered:
    """Each set of values in turn."""
    return render(values_of(request.param))


def example_pod() -> dict:
    """The pod that README and docs show."""
    return yaml.safe_load(Path(EXAMPLES / "pod.yaml").read_text())
