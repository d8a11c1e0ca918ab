"""Everything in deploy/, checked offline: secrets, addresses and the guide."""

import re

import pytest

from .checks import DEPLOY, ROOT, image, secret_faults

TEXTS = sorted(p for p in DEPLOY.rglob("*") if p.is_file())


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


# Guide


def test_guide__files_and_commands_exist():
    from lsg_ray.cli.main import cli

    text = (DEPLOY / "README.md").read_text() + (DEPLOY / "monitoring/README.md").read_text()
    for path in re.findall(r"\b(?:deploy|jobs)/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path
    for command in re.findall(r"\blsg ([a-z]+)\b", text):
        assert command in cli.commands, command
