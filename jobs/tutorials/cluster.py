# %% [markdown]
# # 6. A cluster and an object store
#
# A run on a cluster differs from one on a laptop by two words: the *address* of the cluster, and
# the *URL* of the store. This tutorial uses both at toy size on this machine: a Ray cluster that it
# starts for itself, with a token, and, if `moto` and `flask` are installed (`pip install 'moto[s3]'
# flask`), an S3 server on loopback; else a folder in its place.
#
# It needs `pip install 'lsg-ray[cluster]'` and takes about half a minute on one core, most of it
# the start of Ray. Files go to `LSG_TUTORIAL_OUT`, or a temporary folder.

# %%
import atexit
import json
import logging
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import lsg_ray

SIZE = 1.0  # 0.2 for a quick look
OUT = Path(os.environ.get("LSG_TUTORIAL_OUT") or tempfile.mkdtemp(prefix="lsg-tutorial-"))
OUT.mkdir(parents=True, exist_ok=True)
COUNT = max(8, round(40 * SIZE))
print(f"{COUNT} configurations, files in {OUT}")

# %% [markdown]
# ## One machine first: interrupt, and go on
#
# The specification below has blocks of 4 configurations. Each block is written whole, then a record
# of it; readers trust records alone. So a run that is killed has lost at most the blocks under way,
# and to resume is to do the missing ones. Asking for more later is the same thing: a larger count.

# %%
(OUT / "toy.yaml").write_text(
    f"""
name: toy
dataset: {{name: digits, components: 8}}
network: {{family: binary, widths: [8, 5, 10]}}
training: {{learning_rate: 0.3, batch_size: 100, epochs: 10}}
ensemble: {{count: {COUNT}, threshold: 0.2, draws: 10, block_size: 4}}
"""
)
shutil.rmtree(OUT / "here.zarr", ignore_errors=True)  # of an earlier run: a store only grows
part = lsg_ray.load_spec(OUT / "toy.yaml", ["ensemble.count=4"])
whole = lsg_ray.load_spec(OUT / "toy.yaml")
for spec in (part, whole, whole):
    done = lsg_ray.sample(spec, OUT / "here.zarr", workers=0)
    print(f"{done.resumed:3} were there, {done.rows:3} are new")
here = lsg_ray.open_ensemble(OUT / "here.zarr").info()["content_hash"]

# %% [markdown]
# ## An object store
#
# URLs are `s3://bucket/name.zarr` or `gs://bucket/name.zarr`. Credentials come from the environment
# (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, … or the machine's role), never from a URL or a specification.
# `AWS_ENDPOINT_URL` names another server than Amazon's, here our own.

# %%
STORE = (OUT / "cluster.zarr").as_posix()
try:
    from moto.server import ThreadedMotoServer
except ImportError:
    print("no moto: a folder in place of an object store")
else:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
    }  # fmt: skip
    bucket = urllib.request.Request(f"{endpoint}/bucket", method="PUT")
    urllib.request.urlopen(bucket, timeout=30).close()
    STORE = "s3://bucket/cluster.zarr"
print("store:", STORE)

# %% [markdown]
# ## A cluster
#
# Yours is there already, by `deploy/` (Kubernetes, AWS, GCP, Slurm) or by `ray start --head`. Here
# we start one, with a token of its own: **Ray runs any code that it is sent**, so keep its ports
# closed to others and use tokens. On a laptop alone none of this is needed: `lsg_ray.sample(spec,
# url)` starts a private Ray by itself.


# %%
def free_port() -> int:
    """Return a port that nobody listens on, below those that Ray's processes will be given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)):
                return port


os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_agent_register_timeout_ms": "300000",  # a busy machine starts it slowly
}
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
    os.environ.pop(name, None)  # of another cluster
PORTS = (
    "port",
    "ray-client-server-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
)
short = "/tmp" if Path("/tmp").is_dir() else None  # Ray's sockets need a short path


def start_head(dashboard: int) -> "subprocess.Popen[bytes] | None":
    """Return the head of a new cluster once it runs; None if Ray has given up."""
    log = OUT / "ray-start.log"
    folder = tempfile.mkdtemp(prefix="lsg-ray-", dir=short)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with open(log, "wb") as lines:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
             "--num-cpus=1", "--include-dashboard=true", "--dashboard-host=127.0.0.1",
             f"--dashboard-port={dashboard}", *(f"--{name}={free_port()}" for name in PORTS),
             f"--temp-dir={folder}", "--object-store-memory=100000000", "--disable-usage-stats"],
            stdout=lines, stderr=lines, start_new_session=True,
        )  # fmt: skip
    atexit.register(end, head)
    text = ""
    while head.poll() is None and "Traceback" not in text:
        if "Ray runtime started" in text:
            return head
        time.sleep(0.5)
        text = log.read_text(encoding="utf-8", errors="replace")
    print("Ray has given up; what it said is in", log)
    end(head)
    return None


def end(head: "subprocess.Popen[bytes]") -> None:
    """Stop a cluster, also if a cell has failed."""
    if head.poll() is None:
        head.send_signal(signal.SIGTERM)
        try:
            head.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)


for _ in range(3):  # Ray allows itself 30 s to start, which may be short on a busy machine
    dashboard = free_port()
    if head := start_head(dashboard):
        break
else:
    raise SystemExit("Ray did not start: is ray[default] installed, and the machine idle enough?")
ADDRESS = f"http://127.0.0.1:{dashboard}"
print("a cluster at", ADDRESS)

# %% [markdown]
# ## Submit
#
# `lsg submit` sends the resolved specification, follows the log, and ends with the job's exit code.
# Ctrl-C leaves the job running. The job's id is a hash of what it computes, so the same command
# again attaches to the job rather than starting it twice, and after a failure it resumes.


# %%
def lsg(*words: str) -> dict[str, object]:
    """Run a command as in a shell, and return its JSON."""
    print("$ lsg", *words)
    ran = subprocess.run(
        [sys.executable, "-m", "lsg_ray.cli", *words, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(ran.stdout))


submit = ("submit", str(OUT / "toy.yaml"), "--address", ADDRESS, "--out", STORE)
for _ in range(2):
    job = lsg(*submit)
    print(f"{job['id']}: {job['status']}, attached to an earlier one: {job['attached']}")

# %% [markdown]
# The dashboard's own list, and other stages in the same way: they read what is at a URL, on the
# cluster.
#
#     lsg jobs list --address URL
#     lsg jobs logs ID --address URL
#     lsg submit STORE --stage moments --address URL --out s3://bucket/m.zarr -- --part LB

# %%
print(lsg("jobs", "list", "--address", ADDRESS))

# %% [markdown]
# ## The same bytes
#
# What the cluster wrote is what this process wrote: configuration *i* is a function of the
# specification and of *i*. (On other processors the last bits of floating-point sums may differ;
# `lsg info` lists the kinds that have worked on a store.)

# %%
remote = lsg_ray.open_ensemble(STORE)
print("complete:", remote.complete, " same content:", remote.info()["content_hash"] == here)
moments = lsg_ray.moments(remote)  # reads blocks from the URL, a few at a time
m, error = float(moments["m"][0]), float(moments["m_stderr"][0])
print(f"m_0 = {m:+.2f} ± {error:.2f}:", "not zero" if abs(m) > 2 * error else "undetermined")
end(head)

# %% [markdown]
# With few configurations the error of m_0 is large. Where two errors reach zero, its sign is
# undetermined; the error falls like 1/√M, and M is what a cluster is for.
#
# ## What next
#
# - `deploy/README.md`: clusters on Kubernetes, AWS, GCP and Slurm, step by step, and their threats.
# - `lsg estimate SPEC --cores 16,256`: how long, how large and how expensive, before you start.
# - README, "The store": what happens when a worker, a node, the driver or the disk fails.
# - `adding_a_method.py`: jobs for methods of your own follow from their declaration.
