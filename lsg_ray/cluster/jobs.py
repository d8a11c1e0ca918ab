"""Run a stage as a job on a Ray cluster, and follow it from here.

The id of a job is a hash of what it computes (`lsg_ray.cluster.request`), so submitting the same
run again finds the job that is under way or done.  Ray never takes an id twice: after a failure
the next attempt is ``ID-2``, ``ID-3`` and so on, each of which resumes what the one before stored.

Logs are fetched whole over HTTP, as often as a tenth of the time allows: Ray's stream of them takes
seconds to close after the end of a job.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from lsg_ray.arrays import public
from lsg_ray.cluster import START_SECONDS
from lsg_ray.cluster.dashboard import Dashboard, Job, UnreachableError, readable_token
from lsg_ray.cluster.request import JOB_PREFIX, JobRequest, plan_job, runtime_environment
from lsg_ray.errors import ClusterError, InputError
from lsg_ray.renaming import renamed
from lsg_ray.spec import Spec
from lsg_ray.typing import NonNegative, Positive

Log = Callable[[str], None]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class FollowConfig:
    """How the job server is asked; times in seconds."""

    #: Without any answer, after which following ends.
    lost_seconds: float = 120.0
    #: The same for a submission, to a cluster that may just be starting.
    submit_seconds: float = 30.0
    #: Between requests, at least and at most.
    poll_seconds: float = 0.5
    max_poll_seconds: float = 2.0
    #: Part of the time that may go into fetching logs, which come whole each time.
    log_share: float = 0.1
    #: That a stopped job is given to end.
    stop_seconds: float = 15.0


CONFIG = FollowConfig()


class JobStatus(NamedTuple):
    """State of a job: ``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``STOPPED``.

    attached: whether it was there before this call; reason: of a failure, the last lines of it.
    """

    id: str
    status: str
    stage: str
    out: str
    began: float | None
    seconds: float | None
    exit_code: int | None
    reason: str
    attached: bool = False

    @property
    def done(self) -> bool:
        """Whether the job has succeeded."""
        return self.status == "SUCCEEDED"


@renamed(say="log", on_log="on_line")
@public
def submit(
    source: Spec | str,
    out: str,
    address: str,
    *,
    stage: str = "sample",
    options: Sequence[str] = (),
    with_code: bool = False,
    driver_cpus: NonNegative = 0,
    again: bool = False,
    follow: bool = True,
    start_timeout: Positive = START_SECONDS,
    allow_insecure: bool = False,
    log: Log = lambda _: None,
    on_line: Log = lambda _: None,
) -> JobStatus:
    """Run a stage as a job on a cluster, or attach to the job that computes it.

    Parameters
    ----------
    source, out, stage, options
        As in `lsg_ray.cluster.request.plan_job`.
    address
        Address of the cluster's dashboard, ``http://HOST:8265``.
    with_code
        Whether to ship this package's source; kernels are then compiled anew, once on each node.
    driver_cpus
        Number of CPUs to reserve for the job's own process, which then may run on any node; with 0
        it runs on the head.
    again
        Whether to submit anew although the run has succeeded.
    follow
        Whether to wait for the end, and pass on the job's log.
    start_timeout
        Number of seconds that it may wait for its start.
    allow_insecure
        Whether plain http to another machine without a token is allowed.
    log, on_line
        Functions that receive what happens, and each line of the job's log, as text.

    Raises
    ------
    InputError
        What is given cannot be submitted; nothing was.
    ClusterError
        The job server refuses, is not there or goes away, or the job did not start in time.  A
        job that failed is no error here: see ``status`` and ``reason``.
    """
    request = plan_job(source, out, stage, options)
    dashboard = Dashboard(address, allow_insecure=allow_insecure)
    if readable_token(dashboard.address, dashboard.token):
        log("plain http: the token can be read on the way; prefer https or a forwarded port")
    id, attached = _submitted(
        dashboard,
        request,
        log,
        again=again,
        with_code=with_code,
        driver_cpus=driver_cpus,
        start_timeout=start_timeout,
    )
    if follow:
        return _follow(dashboard, id, start_timeout, log, on_line)._replace(attached=attached)
    job = _retried(lambda: dashboard.job(id), dashboard, id, log)
    return _status(_known(job, dashboard, id))._replace(attached=attached)


def _submitted(
    dashboard: Dashboard,
    request: JobRequest,
    log: Log,
    *,
    again: bool,
    with_code: bool,
    driver_cpus: float,
    start_timeout: float,
) -> tuple[str, bool]:
    """Return the id of the job that computes the request, and whether it was there before."""
    while True:
        job, free = _newest(dashboard, request.id)
        latest = time.time() - start_timeout
        if job is not None and job.state == "PENDING" and (job.began or latest) < latest:
            # An earlier call has given it up: Ray keeps it, and stops it should it ever start.
            dashboard.stop(job.id)
            log(f"job {job.id} never started; trying again as {free}")
        elif job is not None and (not job.is_over or (job.state == "SUCCEEDED" and not again)):
            log(f"job {job.id} of this run is {job.state.lower()}; attached to it")
            return job.id, True
        with runtime_environment(request.spec, with_code) as environment:
            send = functools.partial(
                dashboard.submit,
                free,
                entrypoint=request.entrypoint,
                runtime_env=environment,
                metadata=dict(request.metadata),
                entrypoint_num_cpus=driver_cpus,
            )
            free_still = _retried(send, dashboard, free, log, CONFIG.submit_seconds)
        if free_still:
            log(f"job {free} submitted to {dashboard.address}")
            return free, False


def _newest(dashboard: Dashboard, base: str) -> tuple[Job | None, str]:
    """Return the latest attempt of a run, and the id of the next."""
    newest, id, attempt = None, base, 1
    while (job := dashboard.job(id)) is not None:
        attempt += 1
        newest, id = job, f"{base}-{attempt}"
    return newest, id


@renamed(say="log", on_log="on_line")
def follow(
    id: str,
    address: str,
    *,
    start_timeout: float = START_SECONDS,
    allow_insecure: bool = False,
    log: Log = lambda _: None,
    on_line: Log = lambda _: None,
) -> JobStatus:
    """Wait for the end of a job, passing on its log; parameters as in `submit`."""
    dashboard = Dashboard(address, allow_insecure=allow_insecure)
    return _follow(dashboard, _existing(dashboard, id).id, start_timeout, log, on_line)


def _follow(
    dashboard: Dashboard, id: str, start_timeout: float, log: Log, on_line: Log
) -> JobStatus:
    tail = _Tail(dashboard, id, on_line)
    began, pause = time.monotonic(), CONFIG.poll_seconds
    try:
        while True:
            job = _retried(lambda: dashboard.job(id), dashboard, id, log)
            job = _known(job, dashboard, id)
            has_lines = job.state != "PENDING" and tail.read(last=job.is_over)
            if job.is_over:
                return _status(job)
            if job.state == "PENDING" and time.monotonic() - began > start_timeout:
                _give_up(dashboard, job, start_timeout)
            pause = CONFIG.poll_seconds if has_lines else min(1.5 * pause, CONFIG.max_poll_seconds)
            time.sleep(max(pause, tail.seconds / CONFIG.log_share))
    except KeyboardInterrupt:
        log(
            f"job {id} goes on.  Follow it: lsg jobs logs {id} --follow --address "
            f"{dashboard.address}; end it: lsg jobs stop {id} --address {dashboard.address}"
        )
        raise


def _give_up(dashboard: Dashboard, job: Job, start_timeout: float) -> None:
    with contextlib.suppress(ClusterError):
        dashboard.stop(job.id)
    raise ClusterError(
        f"job {job.id} has not started in {start_timeout:g} s, and was asked to stop: "
        f"{job.message.strip() or 'no reason given'}\nSee what the cluster lacks (ray status): "
        f"CPUs for --driver-cpus, nodes that are still to come, an image; then submit again, or "
        f"with a longer --start-timeout"
    )


def _known(job: Job | None, dashboard: Dashboard, id: str) -> Job:
    if job is None:
        raise ClusterError(
            f"{dashboard.address} knows no job {id}; a head that was restarted forgets its jobs.  "
            f"Submit the run again: it resumes what is stored"
        )
    return job


def _retried(
    ask: Callable[[], Answer], dashboard: Dashboard, id: str, log: Log, seconds: float | None = None
) -> Answer:
    """Ask again while the job server does not answer, for `FollowConfig.lost_seconds`."""
    seconds = CONFIG.lost_seconds if seconds is None else seconds
    deadline, pause = None, 1.0
    while True:
        try:
            return ask()
        except UnreachableError as error:
            now = time.monotonic()
            if deadline is None:
                deadline = now + seconds
                log(f"{error}\ntrying again for {seconds:g} s")
            if now >= deadline:
                raise ClusterError(
                    f"{error}\nNo answer for {seconds:g} s.  The job may go on: see lsg jobs "
                    f"status {id} --address {dashboard.address}"
                ) from None
            time.sleep(pause)
            pause = min(2 * pause, 10.0)


class _Tail:
    """Passes on the lines of a log that are new; ``seconds``: time of the last request."""

    def __init__(self, dashboard: Dashboard, id: str, on_line: Log) -> None:
        self._dashboard, self._id, self._on_line = dashboard, id, on_line
        self._read, self.seconds = 0, 0.0

    def read(self, last: bool) -> bool:
        """Pass on whole lines, and at last what is left; return whether there were any."""
        began = time.monotonic()
        try:
            text = self._dashboard.log(self._id)
        except UnreachableError:  # the node of the job may be busy; its state is what counts
            text = ""
        self.seconds = time.monotonic() - began
        new = text[self._read :]
        new = new if last else new[: new.rfind("\n") + 1]
        self._read += len(new)
        for line in new.splitlines():
            self._on_line(line)
        return bool(new)


def _status(job: Job) -> JobStatus:
    seconds = None
    if job.began is not None:
        seconds = round((job.ended or time.time()) - job.began, 1)
    reason = _reason(job.message) if job.state in ("FAILED", "STOPPED") else ""
    return JobStatus(
        job.id,
        job.state,
        job.metadata.get("lsg_stage", ""),
        job.metadata.get("lsg_out", ""),
        job.began,
        seconds,
        job.exit_code,
        reason,
    )


def _reason(message: str) -> str:
    """Return the last lines of a job's message, without Ray's own before them."""
    text = message.partition("chars):\n")[2] or message
    lines = [
        line
        for line in text.splitlines()
        if line.strip()
        and not line.startswith("Running entrypoint for job")
        and not line.endswith("Runtime env is setting up.")
    ][-8:]
    if "No module named 'lsg_ray" in text:
        lines.append("lsg-ray is not installed on the cluster: do that, or pass --with-code")
    return "\n".join(lines)


def job_list(address: str, *, allow_insecure: bool = False) -> list[JobStatus]:
    """Return the state of all our jobs that the cluster remembers, oldest first."""
    dashboard = Dashboard(address, allow_insecure=allow_insecure)
    return [_status(job) for job in dashboard.jobs() if job.id.startswith(JOB_PREFIX)]


def job_status(id: str, address: str, *, allow_insecure: bool = False) -> JobStatus:
    """Return the state of a job."""
    dashboard = Dashboard(address, allow_insecure=allow_insecure)
    return _status(_existing(dashboard, id))


def job_log(id: str, address: str, *, allow_insecure: bool = False) -> str:
    """Return the log of a job so far."""
    dashboard = Dashboard(address, allow_insecure=allow_insecure)
    return dashboard.log(_existing(dashboard, id).id)


def stop(id: str, address: str, *, allow_insecure: bool = False) -> JobStatus:
    """Stop a job, and return its state when it has ended, or `FollowConfig.stop_seconds` later.

    What it has stored stays.  One that has not started stays pending until Ray starts it, and then
    stops at once.
    """
    dashboard = Dashboard(address, allow_insecure=allow_insecure)
    job = _existing(dashboard, id)
    if not job.is_over:
        dashboard.stop(id)
    deadline = time.monotonic() + CONFIG.stop_seconds
    while not job.is_over and job.state != "PENDING" and time.monotonic() < deadline:
        time.sleep(CONFIG.poll_seconds)
        job = _existing(dashboard, id)
    return _status(job)


def _existing(dashboard: Dashboard, id: str) -> Job:
    job = dashboard.job(id) if re.fullmatch(r"[A-Za-z0-9._-]{1,200}", id) else None
    if job is None:
        raise InputError(
            f"no job {id} at {dashboard.address}; see: lsg jobs list --address {dashboard.address}"
        )
    return job
