"""What is submitted as a job: an id, one `lsg` command, and a small folder that travels with it.

The folder holds the resolved specification and nothing else (on demand, the package too): no data,
no stores, no ``.git``.  Data travels by reference: the command gets URLs, and the credentials for
them come from the environment of the cluster's own processes.  Commands, metadata and environments
of jobs can be read by all who see the cluster's dashboard, so a secret in them is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lsg_ray import __version__
from lsg_ray.ensemble.location import is_within
from lsg_ray.ensemble.owned import scratch
from lsg_ray.ensemble.urls import canonical_url
from lsg_ray.errors import InputError, meant
from lsg_ray.paths import expanded, refuse_file_name
from lsg_ray.spec import Spec, as_yaml
from lsg_ray.stages import OF_SPEC, job_stages
from lsg_ray.typing import JsonObject

#: Beginning of the ids of all our jobs.
JOB_PREFIX = "lsg-"
#: Bytes of code that travel with a job, at most.
MAX_CODE_BYTES = 8 * 2**20
#: Options of a stage that follow from how it is submitted.
_RESERVED, _RESERVED_OF_SPEC = ("--out", "--address"), ("--set", "--count")
_SPEC_FILE = "spec.yaml"
_PACKAGE = Path(__file__).parents[1]
_SECRET = re.compile(
    r"[?&;#][^=&;]*(key|secret|token|passw|pwd|sig|credential|auth|sas)[^=&;]*=", re.IGNORECASE
)


class JobRequest(NamedTuple):
    """A job before it is submitted: id of its first attempt, `lsg` command, metadata."""

    id: str
    arguments: tuple[str, ...]
    metadata: dict[str, str]
    spec: Spec | None

    @property
    def entrypoint(self) -> str:
        """The shell command that the cluster runs."""
        return shlex.join(["python", "-m", "lsg_ray.cli", *self.arguments])


def plan_job(
    source: Spec | str, out: str, stage: str = "sample", options: Sequence[str] = ()
) -> JobRequest:
    """Return the job that computes a stage, with its id; nothing is sent.

    Parameters
    ----------
    source
        Specification, of ``sample`` and ``pipeline``; of other stages the path of the store or
        model that they read.
    out
        Path or URL of the results: a URL, or an absolute path that all nodes of the cluster share.
    stage
        Name of what is computed: ``sample``, ``pipeline``, or a stage such as ``moments``.
    options
        Further arguments of the `lsg` command.

    Raises
    ------
    InputError
        A path or URL that the cluster cannot reach, that holds a secret, or that is both read and
        written.

    >>> job = plan_job(Spec(name="Tiny"), "s3://bucket/tiny")
    >>> job.id[:16], " ".join(job.arguments)
    ('lsg-sample-tiny-', 'sample spec.yaml --out s3://bucket/tiny')
    """
    if stage not in job_stages():
        known = job_stages()
        raise InputError(f"stage {stage!r} given; one of {', '.join(known)}{meant(stage, known)}")
    further = _checked_options(options, isinstance(source, Spec))
    out = _shared_path(out, "--out")
    spec = source if isinstance(source, Spec) else None
    if (spec is None) is (stage in OF_SPEC):
        needed = "a store or model" if spec else "a specification"
        raise InputError(f"stage {stage} reads {needed}")
    if stage == "pipeline" and "://" in out:
        raise InputError(
            f"--out {out} given; a pipeline writes into a folder: a path on a disk "
            "that all nodes of the cluster share"
        )
    path = _SPEC_FILE if isinstance(source, Spec) else _shared_path(source, stage)
    if spec is not None:
        refuse_file_name(out, "a store" if stage == "sample" else "what a run writes")
    elif is_within(out, path) or is_within(path, out):
        raise InputError(f"--out {out} is what is read, or within it; name another path")
    command = "run" if stage == "pipeline" else stage
    line = [command, path, "--out", out, *further]  # the cluster is its RAY_ADDRESS
    identity = spec.hash if spec else path
    digest = hashlib.sha256(json.dumps([stage, identity, line]).encode()).hexdigest()[:12]
    name = spec.name if spec else path.rstrip("/").rpartition("/")[2]
    metadata = {"lsg_stage": stage, "lsg_name": name, "lsg_out": out, "lsg_version": __version__}
    if spec:
        metadata["lsg_spec_hash"] = spec.hash
    return JobRequest(f"{JOB_PREFIX}{stage}-{_slug(name)}-{digest}", tuple(line), metadata, spec)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "run"


def _checked_options(options: Sequence[str], of_spec: bool) -> list[str]:
    for word in options:
        if word.partition("=")[0] in _RESERVED + (_RESERVED_OF_SPEC if of_spec else ()):
            raise InputError(f"option {word}: give it before the --, not among the stage's own")
        if "://" in word:
            _refuse_secrets(word, "an option")
        if not word.isprintable():
            raise InputError(f"option {word!r}: control characters do not belong into a command")
    return list(options)


def _shared_path(text: str, name: str) -> str:
    """Return a path or URL that means the same on the cluster as here."""
    text = expanded(text)
    _refuse_secrets(text, name)
    if not text.isprintable():
        raise InputError(f"{name} {text!r}: control characters do not belong into a path")
    if text.startswith("memory://") or ("://" not in text and not text.startswith("/")):
        raise InputError(
            f"{name} {text} given; the job runs on another machine: name a URL (s3://, gs://), or "
            f"an absolute path on a disk that all nodes of the cluster share"
        )
    return canonical_url(text)


def _refuse_secrets(text: str, name: str) -> None:
    scheme, separator, rest = text.partition("://")
    if separator and ("@" in rest.partition("/")[0] or _SECRET.search(rest)):
        raise InputError(
            f"{name} {scheme}://… holds a name, password or key, which all who see the cluster's "
            f"jobs could read; give credentials to the cluster's processes, by their environment"
        )


@contextlib.contextmanager
def runtime_environment(spec: Spec | None, with_code: bool) -> Iterator[JsonObject]:
    """Make the folders that travel with a job, and yield Ray's runtime environment.

    The code is a package of its own, so that it is sent once, and its kernels are compiled once on
    a node, however many specifications it runs.
    """
    environment: JsonObject = {}
    with scratch("job") as folder:
        if spec is not None:
            work = folder / "work"
            work.mkdir()
            (work / _SPEC_FILE).write_text(as_yaml(spec), encoding="utf-8")
            environment["working_dir"] = str(work)
        if with_code:
            copy_code(folder)
            environment["py_modules"] = [str(folder / _PACKAGE.name)]
        yield environment


def copy_code(folder: Path) -> int:
    """Copy this package's source into a folder, without caches; return its bytes."""
    total = 0
    for file in sorted(_PACKAGE.rglob("*")):
        relative = file.relative_to(_PACKAGE.parent)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if hidden or file.is_symlink() or not file.is_file():
            continue
        total += file.stat().st_size
        if total > MAX_CODE_BYTES:
            raise InputError(
                f"{_PACKAGE} holds more than {MAX_CODE_BYTES >> 20} MiB (so far at {relative}); "
                f"keep data and stores out of it, or install the package on the cluster"
            )
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return total
