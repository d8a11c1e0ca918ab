"""SIGTERM ends a command wherever it strikes."""

import subprocess
import sys

import pytest

from lsg_ray.cli.main import _again

PROGRAM = """
import os, signal, time
import click
from lsg_ray.cli.main import main

class Dropped:
    def __del__(self):  # Python drops exceptions that are raised here
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

@click.command()
def work():
    Dropped()
    time.sleep(60)

main([], command=work)
"""


def test_a_signal_within_a_finalizer__is_not_lost():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode == 143, ran.stderr
    assert ran.stderr.strip() == "lsg: terminated; run the same command again to resume"


@pytest.mark.parametrize(
    ("words", "resumes"),
    [
        (["sample", "s.yaml"], True),
        (["run", "s.yaml"], True),
        (["melt", "s"], True),
        (["canonicalize", "s"], True),
        (["fit", "s"], False),
        (["thermo", "m"], False),
    ],
)
def test_what_an_interrupted_command_promises__is_what_it_does(words, resumes):
    assert ("resume" in _again(words)) is resumes
    assert ("nothing is kept" in _again(words)) is not resumes
