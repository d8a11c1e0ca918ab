"""Files of Ray's cluster launcher, checked offline; and what each check refuses."""

import copy

import pytest
from pydantic import ValidationError

from .checks import GONE, changed, documents, launcher_faults
from .launcher import check_nodes, check_run_instances


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
