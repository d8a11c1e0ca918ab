"""Manifests and configurations that are checked, and changed to be refused."""

import pytest

from .checks import documents, of_kind


@pytest.fixture(scope="module")
def cluster():
    return of_kind("kuberay/raycluster.yaml", "RayCluster")


@pytest.fixture(scope="module")
def job():
    return of_kind("kuberay/rayjob.yaml", "RayJob")


@pytest.fixture(scope="module", params=["aws", "gcp"])
def launched(request):
    return documents(f"launcher/{request.param}.yaml")[0]
