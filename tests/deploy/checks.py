"""What must hold in deploy/ beyond the form of its files: each check yields the faults it finds."""

from __future__ import annotations

import copy
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NAMESPACE = "lsg-ray"
#: Instead of a value: take it away.
GONE = object()
#: Node labels whose presence means a spot machine.
SPOT_KEYS = {
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "cloud.google.com/gke-spot",
}


def documents(name: str) -> list[dict[str, Any]]:
    """Manifests of a file below deploy/."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def changed(document: Any, path: str, value: Any) -> Any:
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


def of_kind(name: str, kind: str) -> dict[str, Any]:
    """The only manifest of a kind in a file below deploy/."""
    (found,) = [document for document in documents(name) if document["kind"] == kind]
    return found


def pins(name: str = "constraints.txt") -> dict[str, str]:
    """Package: version, as a constraints file says."""
    lines = (DEPLOY / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


def package_version() -> str:
    """Version of lsg-ray in pyproject.toml."""
    found = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found
    return found[1]


def image() -> str:
    """The one tag that all files must name."""
    return f"ghcr.io/OWNER/lsg-ray:{package_version()}-ray{pins()['ray']}"


def cluster_faults(spec: dict[str, Any]) -> Iterator[str]:
    """Of a RayCluster's spec."""
    if spec["rayVersion"] != pins()["ray"]:
        yield f"rayVersion {spec['rayVersion']} is not the pinned {pins()['ray']}"
    auth = spec.get("authOptions") or {}
    if auth.get("mode") != "token" or not auth.get("secretName"):
        yield "authentication is off, or its token is not that of a Secret of ours"
    options = spec.get("autoscalerOptions") or {}
    if not spec.get("enableInTreeAutoscaling") or options.get("version") != "v2":
        yield "no autoscaler v2"
    head = spec["headGroupSpec"]
    if head["rayStartParams"].get("num-cpus") != "0":
        yield "the head has CPUs for Ray"
    if head.get("serviceType", "ClusterIP") != "ClusterIP":
        yield "the head is exposed outside of Kubernetes"
    yield from pod_faults("head", head["template"]["spec"])
    if set(_affinities(head["template"]["spec"], "NotIn")) != SPOT_KEYS:
        yield "the head may land on a spot machine"
    groups = spec["workerGroupSpecs"]
    for group in groups:
        name, low, high = group["groupName"], group["minReplicas"], group["maxReplicas"]
        if not low <= group["replicas"] <= high or high < 1:
            yield f"{name}: replicas {low} <= {group['replicas']} <= {high} does not hold"
        pod = group["template"]["spec"]
        yield from pod_faults(name, pod)
        if pod.get("automountServiceAccountToken", True):
            yield f"{name}: workers hold a token of Kubernetes"
        if pod["terminationGracePeriodSeconds"] > 15:
            yield f"{name}: the grace period exceeds the shortest notice of a spot machine"
    spot = [g for g in groups if set(_affinities(g["template"]["spec"], "In")) == SPOT_KEYS]
    if len(spot) != 1 or any(g["priority"] >= spot[0]["priority"] for g in groups if g not in spot):
        yield "no spot group that comes before the others"


def _affinities(pod: dict[str, Any], operator: str) -> Iterator[str]:
    terms = pod.get("affinity", {}).get("nodeAffinity", {})
    required = terms.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", []):
        for expression in term["matchExpressions"]:
            if expression["operator"] == operator:
                yield expression["key"]


def pod_faults(name: str, pod: dict[str, Any]) -> Iterator[str]:
    """Of a pod: Kubernetes' restricted standard and more, images, memory."""
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        yield f"{name}: may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{name}: no seccomp profile"
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        who = f"{name}/{container['name']}"
        yield from container_faults(who, container.get("securityContext", {}))
        if container["name"] != "redis" and container["image"] != image():
            yield f"{who}: image {container['image']} is not {image()}"
        if not re.search(r":[\w.-]*\d[\w.-]*$", container["image"]):
            yield f"{who}: image {container['image']} is not pinned"
        resources = container.get("resources", {})
        requests, limits = resources.get("requests", {}), resources.get("limits", {})
        if not requests.get("memory") or requests.get("memory") != limits.get("memory"):
            yield f"{who}: memory requested is not its limit"
        if not requests.get("cpu"):
            yield f"{who}: no CPUs requested"


def container_faults(who: str, security: dict[str, Any]) -> Iterator[str]:
    """Of a container's securityContext."""
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield f"{who}: privileges may grow"
    if security.get("capabilities", {}) != {"drop": ["ALL"]}:
        yield f"{who}: capabilities are kept"
    if security.get("readOnlyRootFilesystem") is not True:
        yield f"{who}: the root file system can be written"


def policy_faults(manifests: list[dict[str, Any]]) -> Iterator[str]:
    """Of the network policies of the namespace: closed to the outside, in both directions."""
    policies = [m for m in manifests if m["kind"] == "NetworkPolicy"]
    whole = [
        p
        for p in policies
        if p["spec"]["podSelector"] == {} and set(p["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    ]
    if not whole:
        yield "no network policy for all pods"
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            if not rule.get("from"):
                yield "a rule lets everybody in"
            for peer in rule.get("from", []):
                outside = peer.get("namespaceSelector")
                if "ipBlock" in peer or outside == {}:
                    yield "a rule lets addresses or all namespaces in"
                if outside and not rule.get("ports"):
                    yield "a rule lets another namespace in at every port"
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                block = peer.get("ipBlock", {})
                if block.get("cidr") == "0.0.0.0/0" and "169.254.0.0/16" not in block.get(
                    "except", []
                ):
                    yield "pods reach the node's metadata server"


def launcher_faults(config: dict[str, Any]) -> Iterator[str]:
    """Of a cluster file of Ray's launcher."""
    types, head = config["available_node_types"], config["head_node_type"]
    if types[head]["resources"] != {"CPU": 0}:
        yield "the head has CPUs for Ray"
    start = " ".join(config["head_start_ray_commands"])
    if "--num-cpus=0" not in start:
        yield "the head is started with CPUs"
    if "--dashboard-host=127.0.0.1" not in start:
        yield "the dashboard listens to the network"
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        for command in config[key]:
            if "ray start" in command and "RAY_AUTH_MODE=token" not in command:
                yield f"{key}: Ray starts without a token"
    if config["file_mounts"].get("/home/ubuntu/.ray/auth_token") != "~/.ray/auth_token":
        yield "the token does not reach the nodes"
    for name, kind in types.items():
        low, high = kind["min_workers"], kind["max_workers"]
        if not 0 <= low <= high <= config["max_workers"]:
            yield f"{name}: workers {low} <= {high} <= {config['max_workers']} does not hold"
        if name != head and not _is_spot(kind["node_config"]):
            yield f"{name}: workers are not on spot machines"
    if _is_spot(types[head]["node_config"]):
        yield "the head is on a spot machine"
    if not 0 < config["idle_timeout_minutes"] <= 30:
        yield "idle machines stay"
    commands = [c for key in ("setup_commands", "head_setup_commands") for c in config[key]]
    if any("pip install" in c and "constraints" not in c for c in commands):
        yield "something is installed without constraints"
    missing = [p for p in config["file_mounts"].values() if p[0] != "~" and not (ROOT / p).exists()]
    if missing:
        yield f"{missing} do not exist"


def _is_spot(node: dict[str, Any]) -> bool:
    market = node.get("InstanceMarketOptions", {}).get("MarketType")
    return market == "spot" or node.get("scheduling", {}).get("provisioningModel") == "SPOT"


def dockerfile(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile and their arguments, with lines joined and comments gone."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    pairs = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(pair[0].upper(), pair[1] if len(pair) > 1 else "") for pair in pairs]


def dockerfile_faults(text: str) -> Iterator[str]:
    """Of a Dockerfile."""
    steps = dockerfile(text)
    arguments = dict(a.split("=", 1) for step, a in steps if step == "ARG" and "=" in a)
    stages: set[str] = set()
    for step, argument in steps:
        if step != "FROM":
            continue
        words = argument.split()
        base = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], ""), words[0])
        if base not in stages and not re.search(
            r":\d+\.\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}$", base
        ):
            yield f"base {base} is not pinned by version and digest"
        stages |= {words[-1]}
    last = len(steps) - 1 - [step for step, _ in steps][::-1].index("FROM")
    users = [argument for step, argument in steps[last:] if step == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        yield "the image runs as root"
    if any(step == "ADD" for step, _ in steps):
        yield "ADD is used"
    for step, argument in steps:
        sources = [word for word in argument.split() if not word.startswith("--")][:-1]
        if step == "COPY" and "--from" not in argument and {".", "./", "/"} & set(sources):
            yield "everything is copied"
        if step == "RUN":
            yield from _run_faults(argument)
        if step in ("ENV", "ARG") and re.search(r"(?i)(token|secret|password|_key)=\S", argument):
            yield f"{step} holds a secret"
    if not any(step == "HEALTHCHECK" for step, _ in steps):
        yield "HEALTHCHECK is not said"


def _run_faults(command: str) -> Iterator[str]:
    if "pip install" in command and "--constraint" not in command:
        yield "pip installs without constraints"
    if "apt-get install" in command and "rm -rf /var/lib/apt/lists" not in command:
        yield "lists of apt stay in the image"
    if re.search(r"(curl|wget)[^|;]*\|\s*(ba)?sh", command) or "sudo " in command:
        yield "a download is run, or sudo"


#: What may look like a secret and is none: digests.
_HARMLESS = re.compile(r"sha256:[0-9a-f]{64}")
_NAMED = re.compile(
    r"""(?ix)\b(?:password|passwd|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?)
    ["']?\s*[:=]\s*["']?([A-Za-z0-9+/_.-]{8,})"""
)
_KNOWN = re.compile(
    r"AKIA[0-9A-Z]{16}|AIza[\w-]{35}|gh[pousr]_\w{36}|-----BEGIN [A-Z ]*PRIVATE KEY|xox[baprs]-"
)


def secret_faults(text: str) -> Iterator[str]:
    """Find what looks like a key, a password or a token: by its form, its name, its entropy."""
    text = _HARMLESS.sub("", text)
    yield from (f"a key: {found[0][:8]}..." for found in _KNOWN.finditer(text))
    for found in _NAMED.finditer(text):
        value = found[1]
        if any(mark.isdigit() for mark in value) and _entropy(value) > 2.5:
            yield f"a value of a secret: {value[:4]}..."
    for word in re.findall(r"[A-Za-z0-9+=_]{24,}", text):
        mixed = sum(bool(re.search(p, word)) for p in ("[a-z]", "[A-Z]", "[0-9]"))
        hexadecimal = re.fullmatch(r"[0-9a-f]{32,}", word)
        if hexadecimal or (mixed == 3 and _entropy(word) > 4):
            yield f"a random word: {word[:4]}..."


def _entropy(word: str) -> float:
    shares = [count / len(word) for count in Counter(word).values()]
    return -sum(share * math.log2(share) for share in shares)


def dashboard_series(text: str) -> set[str]:
    """Names of series that the panels of a Grafana dashboard query."""
    panels = json.loads(text)["panels"]
    queries = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    return set(re.findall(r"\bray_\w+", queries))
