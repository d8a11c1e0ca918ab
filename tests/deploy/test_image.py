"""The image, checked offline: its recipe, its constraints, and what is refused."""

import re
import shutil
import subprocess

import pytest

from .checks import DEPLOY, ROOT, dockerfile_faults, pins


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
