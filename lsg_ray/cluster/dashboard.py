"""The job server of a Ray cluster: which addresses may be used, with which token.

Whoever reaches a job server can run commands on the cluster, so a token guards it, and nothing is
sent to a server over plain http that is not on this machine, unless there is a token (which then
travels readably: prefer https, or forward a port).  Ray sends its token only where
``RAY_AUTH_MODE=token`` is set; here it is sent whenever there is one and the mode is not
``disabled``.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from lsg_ray.cluster import private
from lsg_ray.errors import ClusterError, InputError, LsgError
from lsg_ray.paths import expanded, is_loopback
from lsg_ray.typing import JsonObject

#: Seconds for a connection, and for an answer.
HTTP_SECONDS = (10.0, 60.0)
#: Where a token is looked for, as by Ray, in this order.
TOKEN_FILE = "~/.ray/auth_token"  # noqa: S105
TOKEN_SOURCES = f"RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or {TOKEN_FILE}"
#: Characters of an address are few, so that no two readers can disagree on its host.
_ADDRESS = re.compile(
    r"https?://([A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9._~-]+)*/?"
)
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


class UnreachableError(ClusterError):
    """The job server does not answer, or cannot now: it may later."""


class Job(NamedTuple):
    """State of a job by the job server; ``began`` and ``ended`` in seconds since 1970."""

    id: str
    state: str
    message: str
    metadata: dict[str, str]
    began: float | None
    ended: float | None
    exit_code: int | None

    @property
    def is_over(self) -> bool:
        """Whether it has succeeded, failed or been stopped."""
        return self.state in ("SUCCEEDED", "FAILED", "STOPPED")


def auth_token() -> str | None:
    """Return the cluster's token from where Ray keeps it, or None.

    Raises
    ------
    InputError
        ``RAY_AUTH_TOKEN_PATH`` names no readable file, or the token cannot be one.
    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return None
    token, source = os.environ.get("RAY_AUTH_TOKEN", "").strip(), "RAY_AUTH_TOKEN"
    if not token:
        path = os.environ.get("RAY_AUTH_TOKEN_PATH")
        source = path or TOKEN_FILE
        try:
            token = Path(expanded(source)).read_text(encoding="utf-8").strip()
        except (OSError, ValueError, InputError) as error:
            if path:
                raise InputError(f"RAY_AUTH_TOKEN_PATH={path} cannot be read: {error}") from None
            return None
    if token and not re.fullmatch(r"[!-~]+", token):
        raise InputError(f"the token in {source} is not one line of printable ASCII")
    return token or None


def check_dashboard(address: str, token: str | None, allow_insecure: bool = False) -> str:
    """Return the address of a job server without a slash at its end, if it may be used.

    Raises
    ------
    InputError
        It is no http(s) address, or plain http to another machine without a token.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int((match[2] or ":1")[1:]) not in range(1, 65536):
        hidden = "://" in address and any(mark in address for mark in "@?#")
        shown = f"{address.partition('://')[0]}://…" if hidden else repr(address)
        raise InputError(
            f"--address {shown} given; write http://HOST:8265 or https://HOST, the address of the "
            f"cluster's dashboard, without name, password or query"
        )
    secure = address.startswith("https://") or is_loopback(match[1].strip("[]"))
    if not secure and token is None and not allow_insecure:
        raise InputError(
            f"--address {address}: plain http to another machine, and no token: whoever reaches "
            f"that port runs commands on the cluster.  Put the cluster's token into "
            f"{TOKEN_SOURCES}, use https, forward the port to this machine (kubectl port-forward, "
            f"ssh -L), or pass --insecure"
        )
    return address.rstrip("/")


def readable_token(address: str, token: str | None) -> bool:
    """Return whether a token would travel in plain text over a network."""
    host = urlsplit(address).hostname or ""
    return token is not None and address.startswith("http://") and not is_loopback(host)


class Dashboard:
    """A job server, asked over HTTP.  Every method raises `UnreachableError` or `ClusterError`."""

    def __init__(self, address: str, *, allow_insecure: bool = False) -> None:
        self.token = auth_token()
        self.address = check_dashboard(address, self.token, allow_insecure)
        with self._failures():
            self._client = _connect(self.address, self.token)

    def job(self, id: str) -> Job | None:
        """Return what is known of a job; None if there is none of that id."""
        return self._ask(lambda: _read(self._client.get_job_info(id)), missing=None)

    def jobs(self) -> list[Job]:
        """Return all submitted jobs that the cluster remembers, oldest first."""
        jobs = self._ask(lambda: [_read(job) for job in self._client.list_jobs()], missing=[])
        return sorted((job for job in jobs if job.id), key=lambda job: job.began or 0)

    def log(self, id: str) -> str:
        """Return the whole log of a job so far."""
        return self._ask(lambda: self._client.get_job_logs(id), missing="")

    def submit(
        self,
        id: str,
        *,
        entrypoint: str,
        runtime_env: JsonObject,
        metadata: dict[str, str],
        entrypoint_num_cpus: float,
    ) -> bool:
        """Submit a job with CPUs for its driver; return False if the id is taken."""
        try:
            self._ask(
                lambda: self._client.submit_job(
                    submission_id=id,
                    entrypoint=entrypoint,
                    runtime_env=runtime_env,
                    metadata=metadata,
                    entrypoint_num_cpus=entrypoint_num_cpus or None,
                ),
                missing=None,
            )
        except _TakenError:
            return False
        return True

    def stop(self, id: str) -> None:
        """Ask a job to stop; it does a moment later, or, if it has not started, when it does."""
        self._ask(lambda: self._client.stop_job(id), missing=None)

    def _ask(self, request: Callable[[], Any], missing: Any) -> Any:
        try:
            with self._failures():
                return request()
        except _MissingError:
            return missing

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what Ray and requests raise into our errors, with the address."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except (LsgError, _MissingError, _TakenError):
            raise
        except AuthenticationError:
            reason = "refuses the token" if self.token else "asks for a token"
            raise ClusterError(
                f"{self.address} {reason}; the cluster's must be in {TOKEN_SOURCES}"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # bad JSON is an OSError
            raise ClusterError(
                f"{self.address} does not answer as a Ray job server: {_line(error)}; give the "
                f"dashboard's address, with its port (8265)"
            ) from None
        except OSError as error:
            reason = _line(error.__context__ or error)
            raise UnreachableError(
                f"no answer from {self.address}: {reason}.  Is the cluster up, with its dashboard "
                f"(pip install 'ray[default]'), and the port forwarded?"
            ) from None
        except RuntimeError as error:
            raise self._refused(str(error)) from None

    def _refused(self, text: str) -> Exception:
        match = re.search(r"status code (\d{3}): (.*)", text, re.DOTALL)
        status, reason = (int(match[1]), match[2]) if match else (0, text)
        if status == 404 and "does not exist" in reason:
            return _MissingError()
        if "submission_id" in reason and "already exists" in reason:
            return _TakenError()
        lines = [line for line in reason.splitlines() if re.search(r"\w", line)]
        kind = UnreachableError if status >= 500 else ClusterError
        return kind(f"{self.address} answers {status or 'an error'}: {''.join(lines[-1:])[:500]}")


class _MissingError(Exception):
    """The job server knows no such job."""


class _TakenError(Exception):
    """There is a job of that id."""


def _connect(address: str, token: str | None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options: dict[str, Any] = {"timeout": HTTP_SECONDS, "allow_redirects": False}
    if is_loopback(urlsplit(address).hostname or ""):
        options["proxies"] = {"http": None, "https": None, "all": None}
    try:
        with _without_overrides():
            return private.job_client(address, headers, options)
    except ImportError as error:
        raise ClusterError(
            f"{error.name} is not installed, which Ray needs for jobs; pip install 'ray[default]'"
        ) from None


@contextlib.contextmanager
def _without_overrides() -> Iterator[None]:
    """Hide the variables that Ray prefers to the address that it is given, and that was checked."""
    hidden = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _read(details: Any) -> Job:
    return Job(
        id=details.submission_id or "",
        state=str(getattr(details.status, "value", details.status)),
        message=details.message or "",
        metadata=dict(details.metadata or {}),
        began=None if details.start_time is None else details.start_time / 1000,
        ended=details.end_time / 1000 if details.end_time else None,
        exit_code=details.driver_exit_code,
    )


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
