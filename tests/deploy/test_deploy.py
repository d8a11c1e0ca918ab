"""Everything in deploy/, checked offline: form, consistency, safety; and each check by a file that
it must refuse."""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import click
import pytest
import yaml
from pydantic import ValidationError

from lsg_ray.cluster.metrics import METRICS

from .checks import (
    DEPLOY,
    NAMESPACE,
    ROOT,
    cluster_faults,
    container_faults,
    dashboard_series,
    dockerfile_faults,
    documents,
    image,
    launcher_faults,
    pins,
    pod_faults,
    policy_faults,
    secret_faults,
)
from .kubernetes import parse
from .launcher import check_nodes, check_run_instances

MANIFESTS = [f"kuberay/{p.name}" for p in sorted((DEPLOY / "kuberay").glob("*.yaml"))]
MANIFESTS.append("monitoring/podmonitor.yaml")
TEXTS = sorted(p for p in DEPLOY.rglob("*") if p.is_file())
GONE = object()


def changed(document, path, value):
    """A copy of a document with one value set, or removed if it is GONE."""
    document = copy.deepcopy(document)
    place = document
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in way:
        place = place[part]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return document


def of_kind(name, kind):
    (found,) = [document for document in documents(name) if document["kind"] == kind]
    return found


@pytest.fixture(scope="module")
def cluster():
    return of_kind("kuberay/raycluster.yaml", "RayCluster")


@pytest.fixture(scope="module")
def job():
    return of_kind("kuberay/rayjob.yaml", "RayJob")


@pytest.fixture(scope="module", params=["aws", "gcp"])
def launched(request):
    return documents(f"launcher/{request.param}.yaml")[0]


# Kubernetes


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


# Cluster launcher


def test_launcher__schema_of_ray(launched):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(launched)))
    for path, value in [
        ("idle_timeout_minute", 5),
        ("head_node_type", "chief"),
        ("available_node_types/spot/max_worker", 3),
        ("available_node_types/spot/min_workers", 99),
    ]:
        with pytest.raises(Exception, match=r".+"):
            validate_config(prepare_config(changed(launched, path, value)))


def test_launcher__faultless(launched):
    assert list(launcher_faults(launched)) == []
    check_nodes(launched)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("available_node_types/head/resources", {"CPU": 2}, "head has CPUs"),
        ("available_node_types/spot/min_workers", 40, "does not hold"),
        ("available_node_types/spot/max_workers", 99, "does not hold"),
        ("head_start_ray_commands/1", "RAY_AUTH_MODE=token ray start --head", "dashboard"),
        ("worker_start_ray_commands/1", "ray start --address=$RAY_HEAD_IP:6379", "without a token"),
        ("file_mounts", {}, "token does not reach"),
        ("file_mounts/~1nowhere", "no/such/file", "do not exist"),
        ("idle_timeout_minutes", 600, "idle"),
        ("head_setup_commands", ["pip install boto3"], "without constraints"),
    ],
)
def test_launcher__refuses(launched, path, value, fault):
    faults = list(launcher_faults(changed(launched, path, value)))
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize(
    ("provider", "path", "value"),
    [
        ("aws", "InstanceTyp", "c7i.4xlarge"),
        ("aws", "InstanceMarketOptions/MarketTyp", "spot"),
        ("aws", "InstanceMarketOptions/MarketType", "Spot"),
        ("aws", "SecurityGroupIds", GONE),
        ("aws", "IamInstanceProfile", GONE),
        ("aws", "MetadataOptions/HttpTokens", "optional"),
        ("gcp", "machineTyp", "n2-standard-2"),
        ("gcp", "scheduling/provisioningModel", "CHEAP"),
        ("gcp", "networkInterfaces", GONE),
        ("gcp", "networkInterfaces/0/subnetwork", "projects/P/regions/r/subnetworks/default"),
        ("gcp", "scheduling", [{"preemptible": True}]),
    ],
)
def test_launcher__refuses_machines(provider, path, value):
    config = documents(f"launcher/{provider}.yaml")[0]
    with pytest.raises(ValidationError):
        check_nodes(changed(config, f"available_node_types/spot/node_config/{path}", value))


def test_launcher__service_model_of_ec2():
    pytest.importorskip("botocore")
    config = documents("launcher/aws.yaml")[0]["available_node_types"]
    for kind in config.values():
        check_run_instances(kind["node_config"])
    for path in ("InstanceTyp", "InstanceMarketOptions/MarketTyp"):
        with pytest.raises(ValueError, match="Unknown parameter"):
            check_run_instances(changed(config["spot"]["node_config"], path, "x"))


# Image


def test_dockerfile__faultless():
    assert list(dockerfile_faults((DEPLOY / "Dockerfile").read_text())) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("USER 10001:10001", "USER root", "root"),
        ("USER 10001:10001", "", "root"),
        ("3.11.14-slim-bookworm@sha256:", "latest@sha256:", "not pinned"),
        ("COPY jobs jobs", "COPY . .", "everything"),
        ("COPY jobs jobs", "ADD https://example.org/jobs.tar /jobs", "ADD"),
        ("COPY jobs jobs", "RUN apt-get update && apt-get install -y wget", "apt"),
        ("COPY jobs jobs", "RUN curl https://example.org/get | sh", "download"),
        ("COPY jobs jobs", "ENV RAY_AUTH_TOKEN=0123456789", "secret"),
        ("--constraint deploy/constraints.txt torch", "torch", "constraints"),
        ("HEALTHCHECK NONE", "", "HEALTHCHECK"),
    ],
)
def test_dockerfile__refuses(old, new, fault):
    text = (DEPLOY / "Dockerfile").read_text()
    assert old in text
    faults = list(dockerfile_faults(text.replace(old, new)))
    assert any(fault in found for found in faults), faults


def test_dockerfile__copies_what_is_there_and_not_ignored():
    text = (DEPLOY / "Dockerfile").read_text()
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in kept
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert f"!{source}" in kept


def test_dockerfile__hadolint():
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    subprocess.run([hadolint, DEPLOY / "Dockerfile"], check=True)


def test_constraints__agree():
    both = pins().keys() & pins("constraints-cluster.txt").keys()
    differing = {p for p in both if pins()[p] != pins("constraints-cluster.txt")[p]}
    assert not differing
    assert tuple(map(int, pins()["ray"].split(".")[:2])) >= (2, 59)


def test_image__one_tag_everywhere():
    for path in TEXTS:
        for found in re.findall(r"ghcr\.io/\S+?/lsg-ray:[\w.-]+", path.read_text()):
            assert found.rstrip(".") == image(), path


# Secrets and addresses


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: str(p.relative_to(DEPLOY)))
def test_texts__no_secrets(path):
    assert list(secret_faults(path.read_text())) == []


@pytest.mark.parametrize(
    "text",
    [
        "auth_token: 3f1c9a7be2d04c58a6b1907f3e5d8c24",
        "password=hunter2-hunter2",
        "key AKIA" + "IOSFODNN7EXAMPLE",
        "-----BEGIN RSA PRIVATE KEY-----",
        "value: kJ8sPq2LmZx9Vb4NcR7tYw1Hd6Gf3Ae5",
    ],
)
def test_secrets__found(text):
    assert list(secret_faults(text))


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


# Slurm

SCRIPT = DEPLOY / "slurm/lsg-ray.sbatch"
STUBS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": '[[ $1 == show ]] && printf "node1\\nnode2\\n" || echo "scontrol $*" >> "$LOG"',
    "hostname": "echo 10.0.0.1",
    "ray": 'trap "echo stopped >> \\"$LOG\\"; exit 0" TERM; echo "ray $*" >> "$LOG"\n'
    "[[ $1 == start ]] || exit 0\n"
    'stat -c "token %a" "$RAY_AUTH_TOKEN_PATH" >> "$LOG"; echo "mode $RAY_AUTH_MODE" >> "$LOG"\n'
    "while :; do sleep 0.05; done",
    "lsg": 'echo "lsg $*" >> "$LOG"; exec sleep "${RUN_SECONDS:-0.3}"',
}


@pytest.fixture
def slurm(tmp_path):
    """Environment of a job whose commands are stubs that write what they were asked into LOG."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STUBS.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "LSG_PRIVATE_DIR": str(tmp_path),
        "SLURM_JOB_ID": "987654",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "16",
    }


def test_slurm__runs_and_cleans_up(slurm, tmp_path):
    subprocess.run(["bash", SCRIPT, "spec.yaml", "/s.zarr"], env=slurm, check=True, timeout=30)
    log = Path(slurm["LOG"]).read_text()
    # Both start in the background: whichever writes first.
    worker, head = sorted(re.findall(r"ray start .*", log), key=lambda line: "--head" in line)
    assert "--head --block" in head
    assert "--include-dashboard=false" in head
    assert "--address=10.0.0.1:20800" in worker
    ports = [int(port) for port in re.findall(r"-port=(\d+)", head)]
    assert len(set(ports)) == len(ports)
    assert min(ports) == 20800
    assert max(ports) < 21000
    assert "lsg sample spec.yaml --out /s.zarr --address 10.0.0.1:20800" in log
    assert log.count("token 600") == log.count("mode token") == log.count("stopped") == 2
    assert "ray stop" not in log
    assert not list(tmp_path.glob(".lsg-ray-*"))


@pytest.mark.parametrize(("restarts", "code"), [("", 0), ("50", 1)])
def test_slurm__requeues_when_time_is_up(slurm, tmp_path, restarts, code):
    environment = {**slurm, "RUN_SECONDS": "60", "SLURM_RESTART_COUNT": restarts or "0"}
    batch = subprocess.Popen(["bash", SCRIPT, "spec.yaml", "/s.zarr"], env=environment)
    log = Path(slurm["LOG"])
    end = time.monotonic() + 20
    while time.monotonic() < end:
        said = log.read_text() if log.exists() else ""
        if "lsg sample" in said and said.count("mode token") == 2:
            break
        time.sleep(0.05)
    batch.send_signal(signal.SIGTERM)
    assert batch.wait(timeout=20) == code
    assert ("scontrol requeue 987654" in log.read_text()) == (code == 0)
    assert log.read_text().count("stopped") == 2
    assert not list(tmp_path.glob(".lsg-ray-*"))


def test_slurm__options_and_syntax():
    text = SCRIPT.read_text()
    for option in ("--signal=B:TERM@120", "--requeue", "--open-mode=append"):
        assert f"#SBATCH {option}" in text
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, SCRIPT], check=True)


# Guide


def test_guide__files_and_commands_exist():
    from lsg_ray.cli.main import cli

    text = (DEPLOY / "README.md").read_text() + (DEPLOY / "monitoring/README.md").read_text()
    for path in re.findall(r"\b(?:deploy|jobs)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path
    for command in re.findall(r"\blsg ([a-z]+)\b", text):
        assert command in cli.commands, command
