"""The batch script of Slurm, run with stubs of its commands."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .checks import DEPLOY

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
