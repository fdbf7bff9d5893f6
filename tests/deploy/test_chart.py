"""The chart is what Kubernetes takes, confines what it starts, and refuses what could not work."""

import json
import re

import helm_python
import kubernetes_validate
import pytest
import yaml

from .conftest import CHART, SETS, Rendered, example_pod, render, values_of, words

#: The oldest release that the chart says it is for, and the newest whose schemas there are.
OLDEST, NEWEST = "1.27", "1.37"
#: Kinds that operators bring along: their schemas come with them.
FOREIGN = {"ServiceMonitor", "PodMonitor", "Certificate"}
OURS = "65532:65532"


def kubernetes_takes(found: dict, release: str) -> None:
    if found["kind"] not in FOREIGN:
        kubernetes_validate.validate(found, release, strict=True)


def test_kubernetes_takes_every_object(rendered):
    for found in rendered.objects:
        kubernetes_takes(found, NEWEST)


def test_the_oldest_release_takes_them_too():
    everything = {
        "preheat": [{"url": "hf://o/r"}],
        "networkPolicy": {"enabled": True},
        "hub": {"tokens": {"HF_TOKEN": "t"}},
    }
    for found in (*render(everything).objects, example_pod()):
        kubernetes_takes(found, OLDEST)
    kubernetes_takes(example_pod(), NEWEST)
    assert f">={OLDEST}." in (CHART / "Chart.yaml").read_text()


def test_the_operators_of_prometheus_and_certificates_take_theirs():
    from cloudcoil.models.cert_manager.v1 import Certificate
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor, ServiceMonitor

    kinds = {kind.__name__: kind for kind in (Certificate, PodMonitor, ServiceMonitor)}
    assert kinds.keys() == FOREIGN
    seen = set()
    for name in SETS:
        for found in render(values_of(name)).objects:
            if kind := kinds.get(found["kind"]):
                # what a model does not know it drops
                kept = kind.model_validate(found).model_dump(by_alias=True, exclude_unset=True, mode="json")
                assert {**kept, "metadata": None, "kind": found["kind"], "apiVersion": found["apiVersion"]} == {
                    **found,
                    "metadata": None,
                }
                seen.add(found["kind"])
    assert seen == FOREIGN


def test_a_field_that_does_not_exist_is_noticed():
    found = render({}).the("DaemonSet")
    found["spec"]["template"]["spec"]["hostNetwrk"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found, NEWEST, strict=True)


def test_helm_has_nothing_to_say_against_it():
    assert helm_python.lint(str(CHART))["errors"] == []


def test_every_value_is_used_and_every_value_used_is_there():
    used = set(re.findall(r"\.Values((?:\.\w+)+)", "".join(p.read_text() for p in (CHART / "templates").iterdir())))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in used:
        at = values
        for name in path.strip(".").split("."):
            assert name in at, f"values.yaml has no {path}"
            at = at[name]
    everything = "".join(p.read_text() for p in (CHART / "templates").iterdir())
    assert [name for name in _names(values) if not re.search(rf"\b{name}\b", everything)] == []


def _names(values: dict) -> set[str]:
    below = [_names(value) for value in values.values() if isinstance(value, dict)]
    return set(values).union(*below)


@pytest.mark.parametrize("name", SETS)
def test_the_examples_set_what_there_is(name):
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values_of(name))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seedpeer": {"replicas": 2}},
        {"node": {"hostnetwork": True}},
        {"seedPeer": {"replicas": "two"}},
        {"logLevel": "verbose"},
        {"preheat": ["hf://owner/model"]},
    ],
    ids=str,
)
def test_a_value_that_there_is_not_is_refused(wrong):
    with helm_python.Chart.load(str(CHART)) as chart, pytest.raises(helm_python.HelmError):
        chart.validate_schema(wrong)


def test_the_schema_knows_every_value_and_no_other():
    schema = json.loads((CHART / "values.schema.json").read_text())
    # what a chart hands down to those that it is made of
    del schema["properties"]["global"]
    seen = []

    def compare(at: dict, values: dict, path: str) -> None:
        assert at["properties"].keys() == values.keys(), path
        assert at["additionalProperties"] is False, path
        for name, below in at["properties"].items():
            seen.append(name)
            if "properties" in below:
                compare(below, values[name], f"{path}.{name}")

    compare(schema, yaml.safe_load((CHART / "values.yaml").read_text()), "values")
    assert len(seen) > 60


def test_everything_runs_confined(rendered):
    pods = {**rendered.pods(), "the example": example_pod()["spec"]}
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, container["name"]
            assert context["allowPrivilegeEscalation"] is False, container["name"]
            assert context["capabilities"]["drop"] == ["ALL"], container["name"]
            assert container["resources"].keys() == {"requests", "limits"}, container["name"]


def test_root_does_nothing_but_hand_two_directories_over(rendered):
    root = [c for c in rendered.containers().values() if c["securityContext"].get("runAsUser") == 0]
    assert [words(container) for container in root] == [["chown", OURS, "/var/lib/dfly", "/run/dfly"]]
    assert root[0]["securityContext"]["capabilities"]["add"] == ["CHOWN"]


def test_pods_find_the_socket_in_a_directory_that_outlives_the_daemon(rendered):
    pod = rendered.the("DaemonSet")["spec"]["template"]["spec"]
    (volume,) = (v for v in pod["volumes"] if v["name"] == "socket")
    assert volume["hostPath"] == {"path": "/run/dfly", "type": "DirectoryOrCreate"}
    (node,) = pod["containers"]
    assert "--socket=/run/dfly/dfly.sock" in node["args"]
    theirs = example_pod()["spec"]
    assert {"name": "dfly", "hostPath": {"path": "/run/dfly", "type": "Directory"}} in theirs["volumes"]
    mounts = {m["mountPath"] for m in theirs["initContainers"][0]["volumeMounts"]}
    assert {"/run/dfly", "/models"} <= mounts


def test_the_probes_ask_the_port_that_is_listened_on(rendered):
    for container in rendered.containers().values():
        listen = [word for word in words(container) if word.startswith("--listen=")]
        if not listen:
            continue
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            asked = container[probe]["httpGet"]
            assert asked["path"] == path
            assert str(ports[asked["port"]]) == listen[0].rpartition(":")[2]
            # the kubelet asks the pod's address unless told otherwise
            assert asked.get("host", "0.0.0.0") == listen[0].partition("=")[2].rpartition(":")[0]
            assert (asked.get("scheme") == "HTTPS") == any(w.startswith("--tls-cert") for w in words(container))


def test_every_file_that_a_command_names_is_mounted(rendered):
    for name, pod in rendered.pods().items():
        there = {volume["name"] for volume in pod["volumes"]}
        if "StatefulSet" in name:
            there.add("data")
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(mounts.values()) <= there, name
            for path in re.findall(r"(?:^|=)(/[\w./-]+)", "\n".join(words(container)), re.MULTILINE):
                assert any(path == at or path.startswith(f"{at}/") for at in mounts), f"{name}: {path}"


def test_nodes_see_the_authority_and_never_the_seed_peers_key():
    for name in ("tls", "cert-manager"):
        rendered = render(values_of(name))
        for found in ("DaemonSet", "Job"):
            for pod in (p for n, p in rendered.pods().items() if n.startswith(found)):
                sources = [v for v in pod["volumes"] if v.get("secret")]
                assert [v["secret"]["items"] for v in sources] == [[{"key": "ca.crt", "path": "ca.crt"}]]


def test_nodes_are_not_told_what_only_seed_peers_and_operators_know():
    text = yaml.safe_dump(render(values_of("tls")).the("DaemonSet"))
    assert "cluster-token" in text
    assert "cluster-secret" not in text
    assert "operator-token" not in text


def test_only_what_asks_for_labels_may_ask_kubernetes(rendered):
    for name, pod in rendered.pods().items():
        assert pod["automountServiceAccountToken"] is False, name
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            asks = any("serviceaccount" in mount["mountPath"] for mount in container["volumeMounts"])
            assert asks == (container["name"] == "location"), container["name"]


def test_a_location_that_is_given_needs_no_rights():
    rendered = render({"node": {"location": {"value": "hall-1/rack-2"}}})
    assert not [o for o in rendered.objects if o["kind"].startswith("ClusterRole")]
    (node,) = rendered.the("DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert "--location=hall-1/rack-2" in node["args"]


def test_each_seed_peer_is_joined_by_its_own_name():
    rendered = render({"seedPeer": {"replicas": 2}}, name="models", namespace="ml")
    service = rendered.the("Service", "-seed-peer")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    (node,) = rendered.the("DaemonSet")["spec"]["template"]["spec"]["containers"]
    joined = [word.partition("=")[2] for word in node["args"] if word.startswith("--join=")]
    name = service["metadata"]["name"]
    assert joined == [f"http://{name}-{n}.{name}.ml.svc:65001" for n in range(2)]
    assert rendered.the("ConfigMap", "-clients")["data"]["DFLY_SEED_PEERS"].split() == joined


def test_the_certificate_is_for_the_names_that_are_joined():
    rendered = render(values_of("cert-manager"))
    names = rendered.the("Certificate")["spec"]["dnsNames"]
    (node,) = rendered.the("DaemonSet")["spec"]["template"]["spec"]["containers"]
    joined = [word.partition("://")[2].partition(":")[0] for word in node["args"] if word.startswith("--join=")]
    assert joined
    assert all(f"*.{host.partition('.')[2]}" in names for host in joined)


def test_prometheus_asks_as_the_seed_peer_wants_to_be_asked():
    (endpoint,) = render(values_of("tls")).the("ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["scheme"]) == ("api", "/metrics", "https")
    assert endpoint["tlsConfig"]["serverName"] == "dfly-seed-peer.default.svc"
    assert endpoint["tlsConfig"]["ca"] == {"secret": {"name": "dfly-tls", "key": "ca.crt"}}
    assert endpoint["authorization"]["credentials"] == {"name": "dfly-access", "key": "cluster-token"}
    (node,) = render(values_of("tls")).the("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert (node["port"], node["path"]) == ("http", "/metrics")


def test_with_a_port_of_its_own_prometheus_needs_neither_token_nor_certificate():
    tls = values_of("tls")
    rendered = render({**tls, "metrics": {**tls["metrics"], "port": 65004}})
    (endpoint,) = rendered.the("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint == {"path": "/metrics", "interval": "30s", "port": "metrics"}
    assert rendered.the("PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    for kind in ("StatefulSet", "DaemonSet"):
        (container,) = rendered.the(kind)["spec"]["template"]["spec"]["containers"]
        assert "--metrics-listen=0.0.0.0:65004" in container["args"]
        assert {"name": "metrics", "containerPort": 65004} in container["ports"]


def test_without_a_way_out_nothing_may_ask_for_one():
    rendered = render(values_of("air-gap"))
    policies = [o for o in rendered.objects if o["kind"] == "NetworkPolicy"]
    assert len(policies) == 2
    assert all({} not in policy["spec"]["egress"] for policy in policies)
    (node,) = rendered.the("DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert "--no-back-to-source" in node["args"]


@pytest.mark.parametrize(
    "node", [{"location": {"value": "hall-1"}}, {"location": {"nodeLabels": []}}, {"enabled": False}], ids=str
)
def test_without_a_way_out_there_are_nodes_that_ask_nobody_where_they_are(node):
    rendered = render({"networkPolicy": {"enabled": True, "hub": False}, "node": node})
    assert not any(name.endswith(" location") for name in rendered.containers())


def test_where_nodes_may_speak_to_networks_that_are_named_the_api_server_may_be_there():
    policy = {"enabled": True, "hub": False, "nodeCIDRs": ["10.0.0.0/8"]}
    assert any(name.endswith(" location") for name in render({"networkPolicy": policy}).containers())


def test_a_number_in_a_values_file_is_written_out():
    """Users of OpenShift have numbers like this one."""
    node = {"allowUsers": [1000650000, 7, "me", "*"], "cacheSize": 2_000_000_000_000, "uploadLimit": 52428800}
    rendered = render(yaml.safe_load(yaml.safe_dump({"node": node})))
    (container,) = rendered.the("DaemonSet")["spec"]["template"]["spec"]["containers"]
    users = [word.partition("=")[2] for word in container["args"] if word.startswith("--allow-user=")]
    assert users == ["1000650000", "7", "me", "*"]
    assert {"--cache-size=2000000000000", "--upload-limit=52428800"} <= set(container["args"])


def test_a_token_that_is_given_is_in_a_secret_and_nowhere_else():
    rendered = render(values_of("air-gap"))
    holders = [o["kind"] for o in rendered.objects if "change-me" in yaml.safe_dump(o)]
    assert holders == ["Secret"]
    assert "change-me" not in rendered.notes
    before, after = (
        render({**values_of("air-gap"), "clusterToken": {"value": token}}).the("DaemonSet")["spec"]["template"]
        for token in ("one", "two")
    )
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"clusterToken": {"value": "x"}}, "insecure=true"),
        ({"tls": {"existingSecret": "a", "certManager": {"issuer": {"name": "b"}}}}, "not both"),
        ({"networkPolicy": {"enabled": True}, "node": {"hostNetwork": True}}, "networkPolicy.nodeCIDRs"),
        ({"networkPolicy": {"enabled": True, "hub": False}}, "set node.location.value"),
    ],
)
def test_what_could_not_work_is_refused_with_what_to_do(values, said):
    with pytest.raises(helm_python.HelmError, match=re.escape(said)):
        render(values)


def test_the_notes_say_what_is_open():
    assert "no cluster token" in render({}).notes
    assert "takes over" not in render({}).notes
    notes = render(values_of("tls")).notes
    assert "no cluster token" not in notes
    assert "There is no TLS" not in notes


def test_the_labels_that_select_are_those_that_pods_have(rendered: Rendered):
    for found in rendered.objects:
        if found["kind"] in ("StatefulSet", "DaemonSet"):
            wanted = found["spec"]["selector"]["matchLabels"]
            assert wanted.items() <= found["spec"]["template"]["metadata"]["labels"].items()
    budget = rendered.the("PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"] == rendered.the("StatefulSet")["spec"]["selector"]["matchLabels"]
