"""Manifests of Kubernetes, offline: form, consistency, safety; and what each check refuses."""

import copy
import json
import re
from pathlib import Path

import click
import pytest
import yaml
from pydantic import ValidationError

from lsg_ray.cluster.metrics import METRICS

from .checks import (
    DEPLOY,
    GONE,
    NAMESPACE,
    changed,
    cluster_faults,
    container_faults,
    dashboard_series,
    documents,
    of_kind,
    pod_faults,
    policy_faults,
)
from .kubernetes import parse

MANIFESTS = [f"kuberay/{p.name}" for p in sorted((DEPLOY / "kuberay").glob("*.yaml"))]
MANIFESTS.append("monitoring/podmonitor.yaml")


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests__strict_models(name):
    for document in documents(name):
        parse(document)
        wanted = None if document["kind"] == "Namespace" else NAMESPACE
        assert document["metadata"].get("namespace") == wanted


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests__kubernetes_schemas(name):
    validator = pytest.importorskip("kubernetes_validate")
    for document in documents(name):
        if document["kind"] in ("RayCluster", "RayJob"):
            specification = document["spec"]
            groups = specification.get("rayClusterSpec", specification)
            templates = [g["template"] for g in groups["workerGroupSpecs"]]
            templates += [groups["headGroupSpec"]["template"]]
            templates += [t for k, t in specification.items() if k == "submitterPodTemplate"]
            pods = [{"apiVersion": "v1", "kind": "Pod", **template} for template in templates]
        elif document["kind"] == "PodMonitor":
            continue
        else:
            pods = [document]
        for pod in pods:
            validator.validate(pod, validator.latest_version(), strict=True)


def test_cluster__faultless(cluster, job):
    assert list(cluster_faults(cluster["spec"])) == []
    assert list(cluster_faults(job["spec"]["rayClusterSpec"])) == []
    assert list(pod_faults("submitter", job["spec"]["submitterPodTemplate"]["spec"])) == []
    redis = of_kind("kuberay/redis.yaml", "StatefulSet")
    assert list(pod_faults("redis", redis["spec"]["template"]["spec"])) == []
    options = cluster["spec"]["autoscalerOptions"]
    assert list(container_faults("autoscaler", options["securityContext"])) == []


HEAD = "headGroupSpec/template/spec"
SPOT = "workerGroupSpecs/0"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("authOptions", GONE, "authentication"),
        ("authOptions/mode", "disabled", "authentication"),
        ("authOptions/secretName", GONE, "authentication"),
        ("rayVersion", "2.54.0", "rayVersion"),
        ("autoscalerOptions/version", "v1", "autoscaler"),
        ("headGroupSpec/rayStartParams/num-cpus", "4", "head has CPUs"),
        ("headGroupSpec/rayStartParams/num-cpus", GONE, "head has CPUs"),
        ("headGroupSpec/serviceType", "LoadBalancer", "exposed"),
        (f"{HEAD}/affinity", GONE, "spot machine"),
        (f"{HEAD}/securityContext/runAsNonRoot", False, "root"),
        (f"{HEAD}/securityContext/seccompProfile", GONE, "seccomp"),
        (f"{HEAD}/containers/0/image", "ghcr.io/OWNER/lsg-ray:latest", "not pinned"),
        (f"{HEAD}/containers/0/image", "rayproject/ray:2.54.0", "is not ghcr.io"),
        (f"{HEAD}/containers/0/resources/limits/memory", "16Gi", "memory"),
        (f"{HEAD}/containers/0/securityContext/readOnlyRootFilesystem", False, "root file"),
        (f"{HEAD}/containers/0/securityContext/allowPrivilegeEscalation", True, "privileges"),
        (f"{HEAD}/containers/0/securityContext/capabilities", {"add": ["SYS_ADMIN"]}, "capab"),
        (f"{SPOT}/maxReplicas", 0, "replicas"),
        (f"{SPOT}/minReplicas", 33, "replicas"),
        (f"{SPOT}/priority", 0, "spot group"),
        (f"{SPOT}/template/spec/affinity", GONE, "spot group"),
        (f"{SPOT}/template/spec/terminationGracePeriodSeconds", 600, "grace"),
        (f"{SPOT}/template/spec/automountServiceAccountToken", GONE, "token of Kubernetes"),
    ],
)
def test_cluster__refuses(cluster, path, value, fault):
    faults = list(cluster_faults(changed(cluster["spec"], path, value)))
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/autoscalerOption", {}),
        ("spec/headGroupSpec/template/spec/containers/0/imagePullPolice", "Always"),
        ("spec/headGroupSpec/rayStartParams/num-cpus", 0),
        ("spec/workerGroupSpecs/0/minReplicas", "0"),
        ("spec/workerGroupSpecs/0/maxReplicas", GONE),
        ("spec/autoscalerOptions/version", "v3"),
        (f"spec/{HEAD}/containers/0/resources/limits/memory", "8 GB"),
        (f"spec/{HEAD}/volumes/0/name", "elsewhere"),
        ("spec/gcsFaultToleranceOptions/redisPassword", {"value": "inline"}),
        ("apiVersion", "ray.io/v1alpha1"),
    ],
)
def test_strict_models__refuse(cluster, path, value):
    with pytest.raises((ValidationError, ValueError)):
        parse(changed(cluster, path, value))


def test_cluster__ray_derives_its_autoscaler(cluster):
    from ray.autoscaler._private.kuberay import autoscaling_config as kuberay

    derived = kuberay._derive_autoscaling_config_from_ray_cr(copy.deepcopy(cluster))
    head, spot = (
        derived["available_node_types"]["headgroup"],
        derived["available_node_types"]["spot"],
    )
    assert head["resources"]["CPU"] == 0
    assert spot["resources"]["CPU"] == 4
    assert (spot["min_workers"], spot["max_workers"], spot["priority"]) == (0, 32, 10)
    assert derived["max_workers"] == 36
    assert derived["idle_timeout_minutes"] == 5


def test_job__same_cluster_without_redis(cluster, job):
    expected = copy.deepcopy(cluster["spec"])
    assert expected.pop("gcsFaultToleranceOptions")["redisAddress"]
    text = yaml.safe_dump(expected, sort_keys=True).replace("instance: cluster", "instance: job")
    spec = job["spec"]
    assert yaml.safe_dump(spec["rayClusterSpec"], sort_keys=True) == text
    assert spec["shutdownAfterJobFinishes"]
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["backoffLimit"] > 0


def test_job__entrypoint_is_a_command_of_ours(job):
    from lsg_ray.cli.main import cli

    lsg, name, *words = job["spec"]["entrypoint"].split()
    assert lsg == "lsg"
    # As a part of `lsg`: a command keeps the names of its help from the first context it is in.
    with click.Context(cli, info_name="lsg", **cli.context_settings) as above:
        context = cli.commands[name].make_context(name, list(words), parent=above)
    assert context.params["address"] == "auto"
    mounts = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert any(words[0].startswith(m["mountPath"]) for m in mounts["volumeMounts"])


@pytest.mark.parametrize("name", ["raycluster", "rayjob"])
def test_head__disruption_budget(name):
    ray, budget = documents(f"kuberay/{name}.yaml")
    spec = ray["spec"].get("rayClusterSpec", ray["spec"])
    assert budget["spec"]["minAvailable"] == 1
    labels = spec["headGroupSpec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_accounts_and_secrets__are_there(cluster):
    accounts = {
        d["metadata"]["name"]
        for d in documents("kuberay/namespace.yaml")
        if d["kind"] == "ServiceAccount"
    }
    text = (DEPLOY / "kuberay/raycluster.yaml").read_text()
    assert set(re.findall(r"serviceAccountName: (\S+)", text)) == accounts
    guide = (DEPLOY / "README.md").read_text()
    for secret in ("lsg-ray-token", "lsg-ray-redis"):
        assert secret in text
        assert f"secret generic {secret}" in guide
    namespace = documents("kuberay/namespace.yaml")[0]["metadata"]["labels"]
    assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"


def test_network_policy():
    manifests = documents("kuberay/namespace.yaml")
    assert list(policy_faults(manifests + documents("kuberay/gke-identity.yaml"))) == []
    (policy,) = [i for i, d in enumerate(manifests) if d["kind"] == "NetworkPolicy"]

    def faults(path, value):
        return " ".join(policy_faults(changed(manifests, f"{policy}/spec/{path}", value)))

    assert "no network policy" in " ".join(policy_faults([]))
    assert "no network policy" in faults("policyTypes", ["Ingress"])
    assert "everybody" in faults("ingress/0/from", [])
    assert "addresses" in faults("ingress/0/from/0", {"ipBlock": {"cidr": "0.0.0.0/0"}})
    assert "all namespaces" in faults("ingress/1/from/0/namespaceSelector", {})
    assert "every port" in faults("ingress/1/ports", GONE)
    assert "metadata" in faults("egress/2/to/0/ipBlock/except", GONE)


# Monitoring


def test_dashboard__series_exist():
    import ray

    text = (DEPLOY / "monitoring/grafana.json").read_text()
    ours = {f"ray_{name}" for name in METRICS}
    of_ray = {"ray_cluster_active_nodes", "ray_cluster_pending_nodes"}
    assert dashboard_series(text) == ours | of_ray
    agent = Path(ray.__file__).parent / "dashboard/modules/reporter/reporter_agent.py"
    assert all(f'"{name.removeprefix("ray_")}"' in agent.read_text() for name in of_ray)
    assert (
        set(re.findall(r"`(ray_lsg_\w+)`", (DEPLOY / "monitoring/README.md").read_text())) == ours
    )
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert any(
        "lsg_configurations" in t["expr"] and " / " in t["expr"] for t in panels[5]["targets"]
    )


def test_monitor__scrapes_a_port_that_is_there(cluster):
    monitor = documents("monitoring/podmonitor.yaml")[0]["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    spec = cluster["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        template = group["template"]
        ports = {p["name"]: p["containerPort"] for p in template["spec"]["containers"][0]["ports"]}
        assert str(ports[endpoint["port"]]) == group["rayStartParams"]["metrics-export-port"]
        assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    prometheus = documents("monitoring/prometheus.yml")[0]
    assert prometheus["scrape_configs"][0]["file_sd_configs"]
