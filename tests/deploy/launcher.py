"""Strict models of the machines that Ray's launcher is told to start: what deploy/launcher uses of
EC2's RunInstances (with Ray's SubnetIds) and of Compute Engine's instances.insert."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel, to_pascal


class Amazon(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_pascal)


class Profile(Amazon):
    arn: Annotated[str, Field(pattern=r"^arn:aws:iam::ACCOUNT:instance-profile/[\w-]+$")]


class MetadataOptions(Amazon):
    http_tokens: Literal["required"]
    http_put_response_hop_limit: Literal[1]


class Volume(Amazon):
    volume_size: int
    volume_type: Literal["gp3"]
    encrypted: Literal[True]
    delete_on_termination: Literal[True]


class BlockDevice(Amazon):
    device_name: str
    ebs: Volume


class SpotOptions(Amazon):
    spot_instance_type: Literal["one-time", "persistent"]
    instance_interruption_behavior: Literal["terminate", "stop", "hibernate"]


class MarketOptions(Amazon):
    market_type: Literal["spot", "capacity-block"]
    spot_options: SpotOptions


class Ec2Node(Amazon):
    """Groups and roles are required: Ray would make its own, open to the world and all-powerful."""

    instance_type: Annotated[str, Field(pattern=r"^[a-z]\d\w*\.\w+$")]
    image_id: str
    subnet_ids: list[str]
    security_group_ids: Annotated[list[str], Field(min_length=1)]
    iam_instance_profile: Profile
    metadata_options: MetadataOptions
    block_device_mappings: list[BlockDevice]
    instance_market_options: MarketOptions | None = None


class Google(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class DiskParameters(Google):
    disk_size_gb: int
    source_image: Annotated[str, Field(pattern=r"^projects/[\w-]+/global/images/")]


class Disk(Google):
    boot: bool
    auto_delete: Literal[True]
    type: Literal["PERSISTENT", "SCRATCH"]
    initialize_params: DiskParameters


class AccessConfig(Google):
    name: str
    type: Literal["ONE_TO_ONE_NAT"]


class Interface(Google):
    subnetwork: Annotated[str, Field(pattern=r"^projects/\w+/regions/[\w-]+/subnetworks/lsg-ray$")]
    access_configs: list[AccessConfig] = []


class Tags(Google):
    items: list[str]


class Shielded(Google):
    enable_secure_boot: bool
    enable_vtpm: bool
    enable_integrity_monitoring: bool


class Account(Google):
    email: str
    scopes: list[str]


class Scheduling(Google):
    provisioning_model: Literal["SPOT", "STANDARD"]
    instance_termination_action: Literal["DELETE", "STOP"]
    on_host_maintenance: Literal["TERMINATE", "MIGRATE"]
    automatic_restart: bool


class ComputeNode(Google):
    machine_type: Annotated[str, Field(pattern=r"^[a-z]\d\w*-\w+-\d+$")]
    disks: list[Disk]
    network_interfaces: list[Interface]
    tags: Tags
    shielded_instance_config: Shielded
    service_accounts: list[Account] = []
    scheduling: Scheduling | None = None


MODELS: dict[str, type[BaseModel]] = {"aws": Ec2Node, "gcp": ComputeNode}


def check_nodes(config: dict[str, Any]) -> None:
    """Check each machine of a cluster file against the model of its provider."""
    for kind in config["available_node_types"].values():
        MODELS[config["provider"]["type"]].model_validate(kind["node_config"])


def check_run_instances(node_config: dict[str, Any]) -> None:
    """Check a machine against the service model that botocore has of RunInstances."""
    import botocore.session
    from botocore.validate import ParamValidator

    request = {**node_config, "MinCount": 1, "MaxCount": 1}
    request["SubnetId"] = request.pop("SubnetIds")[0]
    service = botocore.session.Session().get_service_model("ec2")
    report = ParamValidator().validate(request, service.operation_model("RunInstances").input_shape)
    if report.has_errors():
        raise ValueError(report.generate_report())
