"""Strict models of what deploy/kuberay uses: Kubernetes objects, and the RayCluster and RayJob of
KubeRay 1.7 (group ray.io, version v1).  A field that is not here is an error: a misspelt one, or a
new one whose name has to be looked up first."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0)]
Strings = dict[str, str]


def _quantity(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?", text):
        raise ValueError(f"{text!r} is no quantity")
    return text


Quantity = Annotated[str, AfterValidator(_quantity)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Model):
    name: Name
    namespace: Name | None = None
    labels: Strings = {}
    annotations: Strings = {}


class TemplateMetadata(Model):
    labels: Strings = {}
    annotations: Strings = {}


class SecretKey(Model):
    name: Name
    key: str


class ValueFrom(Model):
    secret_key_ref: SecretKey


class Variable(Model):
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: str | None = None
    value_from: ValueFrom | None = None

    @model_validator(mode="after")
    def _one(self) -> Variable:
        if (self.value is None) == (self.value_from is None):
            raise ValueError(f"variable {self.name}: exactly one of value and valueFrom")
        return self


class SecretReference(Model):
    name: Name
    optional: bool = False


class EnvironmentSource(Model):
    secret_ref: SecretReference


class ContainerPort(Model):
    name: Annotated[str, Field(max_length=15)]
    container_port: Port
    protocol: Literal["TCP", "UDP"] = "TCP"


class Resources(Model):
    requests: dict[str, Quantity]
    limits: dict[str, Quantity] = {}


class Capabilities(Model):
    drop: list[str] = []
    add: list[str] = []


class ContainerSecurity(Model):
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool | None = None
    privileged: bool = False
    capabilities: Capabilities | None = None


class Seccomp(Model):
    type: Literal["RuntimeDefault", "Localhost", "Unconfined"]


class PodSecurity(Model):
    run_as_non_root: bool | None = None
    run_as_user: Count | None = None
    run_as_group: Count | None = None
    fs_group: Count | None = None
    seccomp_profile: Seccomp | None = None


class HttpGet(Model):
    path: str
    port: str | Port


class TcpSocket(Model):
    port: str | Port


class Probe(Model):
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    initial_delay_seconds: Count = 0
    period_seconds: Count = 10
    timeout_seconds: Count = 1
    failure_threshold: Count = 3


class Mount(Model):
    name: str
    mount_path: str
    read_only: bool = False


class Container(Model):
    name: Name
    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    command: list[str] = []
    args: list[str] = []
    env: list[Variable] = []
    env_from: list[EnvironmentSource] = []
    ports: list[ContainerPort] = []
    resources: Resources
    security_context: ContainerSecurity
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    volume_mounts: list[Mount] = []


class EmptyDir(Model):
    size_limit: Quantity | None = None


class ConfigMapVolume(Model):
    name: Name


class Volume(Model):
    name: str
    empty_dir: EmptyDir | None = None
    config_map: ConfigMapVolume | None = None


class Requirement(Model):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class Term(Model):
    match_expressions: list[Requirement]


class Terms(Model):
    node_selector_terms: list[Term]


class NodeAffinity(Model):
    required_during_scheduling_ignored_during_execution: Terms


class Affinity(Model):
    node_affinity: NodeAffinity


class Toleration(Model):
    key: str
    operator: Literal["Equal", "Exists"]
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class PodSpec(Model):
    service_account_name: Name | None = None
    automount_service_account_token: bool = True
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: Count = 30
    security_context: PodSecurity
    affinity: Affinity | None = None
    tolerations: list[Toleration] = []
    init_containers: list[Container] = []
    containers: Annotated[list[Container], Field(min_length=1)]
    volumes: list[Volume] = []

    @model_validator(mode="after")
    def _mounted(self) -> PodSpec:
        there = {volume.name for volume in self.volumes}
        for container in [*self.init_containers, *self.containers]:
            for mount in container.volume_mounts:
                if mount.name not in there | {"data"}:
                    raise ValueError(f"{container.name} mounts {mount.name}, which is no volume")
        return self


class PodTemplate(Model):
    metadata: TemplateMetadata
    spec: PodSpec


class RedisPassword(Model):
    value_from: ValueFrom


class FaultTolerance(Model):
    redis_address: str
    redis_password: RedisPassword


class AuthOptions(Model):
    mode: Literal["token", "disabled"]
    secret_name: Name | None = None


class AutoscalerOptions(Model):
    version: Literal["v1", "v2"]
    upscaling_mode: Literal["Default", "Aggressive", "Conservative"] = "Default"
    idle_timeout_seconds: Count
    image_pull_policy: str = "IfNotPresent"
    resources: Resources
    security_context: ContainerSecurity
    volume_mounts: list[Mount] = []


class HeadGroup(Model):
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    ray_start_params: Strings
    template: PodTemplate


class WorkerGroup(Model):
    group_name: Name
    priority: int = 0
    replicas: Count
    min_replicas: Count
    max_replicas: Count
    ray_start_params: Strings
    template: PodTemplate


class RayClusterSpec(Model):
    ray_version: str
    auth_options: AuthOptions | None = None
    gcs_fault_tolerance_options: FaultTolerance | None = None
    enable_in_tree_autoscaling: bool = False
    autoscaler_options: AutoscalerOptions | None = None
    head_group_spec: HeadGroup
    worker_group_specs: list[WorkerGroup]


class SubmitterConfig(Model):
    backoff_limit: Count


class RayJobSpec(Model):
    submission_mode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]
    entrypoint: str
    shutdown_after_job_finishes: bool
    ttl_seconds_after_finished: Count
    backoff_limit: Count
    active_deadline_seconds: Annotated[int, Field(gt=0)]
    submitter_config: SubmitterConfig
    submitter_pod_template: PodTemplate
    ray_cluster_spec: RayClusterSpec


class Labels(Model):
    match_labels: Strings = {}


class IpBlock(Model):
    cidr: str
    except_: Annotated[list[str], Field(alias="except")] = []


class Peer(Model):
    pod_selector: Labels | None = None
    namespace_selector: Labels | None = None
    ip_block: IpBlock | None = None


class PolicyPort(Model):
    port: Port
    protocol: Literal["TCP", "UDP"]


class Ingress(Model):
    from_: Annotated[list[Peer], Field(alias="from", min_length=1)]
    ports: list[PolicyPort] = []


class Egress(Model):
    to: Annotated[list[Peer], Field(min_length=1)]
    ports: list[PolicyPort] = []


class NetworkPolicySpec(Model):
    pod_selector: Labels
    policy_types: list[Literal["Ingress", "Egress"]]
    ingress: list[Ingress] = []
    egress: list[Egress] = []


class DisruptionSpec(Model):
    min_available: Count
    selector: Labels


class ServicePort(Model):
    name: str
    port: Port
    target_port: str | Port
    protocol: Literal["TCP", "UDP"]


class ServiceSpec(Model):
    selector: Strings
    ports: list[ServicePort]


class Storage(Model):
    requests: dict[str, Quantity]


class ClaimSpec(Model):
    access_modes: list[str]
    resources: Storage


class Claim(Model):
    metadata: Metadata
    spec: ClaimSpec


class StatefulSetSpec(Model):
    service_name: Name
    replicas: Count
    selector: Labels
    template: PodTemplate
    volume_claim_templates: list[Claim]


class MetricsEndpoint(Model):
    port: str
    path: str
    interval: str


class PodMonitorSpec(Model):
    selector: Labels
    pod_metrics_endpoints: list[MetricsEndpoint]


class Bare(Model):
    """An object that has no spec of ours: Namespace, ServiceAccount."""

    metadata: Metadata
    automount_service_account_token: bool = True


#: apiVersion and spec of each kind.
KINDS: dict[str, tuple[str, type[Model] | None]] = {
    "Namespace": ("v1", None),
    "ServiceAccount": ("v1", None),
    "Service": ("v1", ServiceSpec),
    "StatefulSet": ("apps/v1", StatefulSetSpec),
    "NetworkPolicy": ("networking.k8s.io/v1", NetworkPolicySpec),
    "PodDisruptionBudget": ("policy/v1", DisruptionSpec),
    "PodMonitor": ("monitoring.coreos.com/v1", PodMonitorSpec),
    "RayCluster": ("ray.io/v1", RayClusterSpec),
    "RayJob": ("ray.io/v1", RayJobSpec),
}


def parse(document: dict[str, Any]) -> Model:
    """Parse one manifest; raise if a field of it is unknown, missing or of another type."""
    rest = dict(document)
    kind, version = rest.pop("kind"), rest.pop("apiVersion")
    expected, spec = KINDS[kind]
    if version != expected:
        raise ValueError(f"{kind} is of {expected}, not {version}")
    if spec is None:
        return Bare.model_validate(rest)
    Metadata.model_validate(rest.pop("metadata"))
    parsed = spec.model_validate(rest.pop("spec"))
    if rest:
        raise ValueError(f"{kind} has unknown fields {sorted(rest)}")
    return parsed
