"""Object stores: clients, credentials, and when a failed request is repeated.

Credentials and endpoints come from the environment alone, as the stores' own clients take them:
``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, ``AWS_REGION``,
``AWS_ENDPOINT_URL_S3`` (or ``AWS_ENDPOINT_URL``), a web identity or a container's role;
``GOOGLE_APPLICATION_CREDENTIALS`` or ``GOOGLE_SERVICE_ACCOUNT``; else the role of the machine.
Plain http is for endpoints on this machine; elsewhere it takes ``AWS_ALLOW_HTTP=true``.

Requests are repeated with exponential backoff and jitter while that may help: a few times at once
by the client, then here, where it is known that all that we write may be written again.
"""

from __future__ import annotations

import http.client
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lsg_ray.ensemble.refusals import (
    S3_ENVIRONMENT,
    Fault,
    StoreAccessError,
    no_credentials,
    scrubbed,
)
from lsg_ray.errors import StoreError, StoreInputError
from lsg_ray.paths import is_loopback

if TYPE_CHECKING:
    from obstore.store import GCSStore, S3Store


@dataclass(frozen=True)
class RemoteConfig:
    """How an object store is asked, and for how long; times in seconds."""

    connect_seconds: float = 5.0
    #: Without a byte, at most: an upload of 5 MiB and its answer.
    stall_seconds: float = 30.0
    #: For one request with all its data.
    request_seconds: float = 600.0
    #: Repetitions by the client itself, at once.
    client_retries: int = 3
    #: After which a failing operation is not begun again.
    retry_seconds: float = 120.0
    #: The same where the store has never answered: then it is the address, more likely than not.
    first_retry_seconds: float = 10.0
    #: Pauses between repetitions: random up to the first, doubled each time up to the last.
    first_pause_seconds: float = 0.2
    last_pause_seconds: float = 10.0
    #: To wait for a machine's own credentials, where the environment has none; tried twice.
    metadata_seconds: float = 1.5
    #: Parts of a large object that are sent at once.
    uploads: int = 4
    #: Requests in flight; local reads are faster one by one.
    threads: int = 32


CONFIG = RemoteConfig()
S3_METADATA = "http://169.254.169.254"
GS_METADATA = "http://metadata.google.internal"


def open_store(url: str) -> S3Store | GCSStore:
    """Return the obstore client of an ``s3://`` or ``gs://`` URL; nothing is requested of it yet.

    Raises
    ------
    StoreAccessError
        There are no credentials, or the endpoint cannot be used.
    """
    from obstore.store import GCSStore, S3Store

    parts = urlsplit(url)
    prefix = parts.path.strip("/") or None
    s3 = parts.scheme == "s3"
    endpoint = _endpoint(url, s3)
    (_require_s3_credentials if s3 else _require_gs_credentials)(url)
    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=CONFIG.connect_seconds),
        "read_timeout": timedelta(seconds=CONFIG.stall_seconds),
        "timeout": timedelta(seconds=CONFIG.request_seconds),
    }
    if endpoint is not None and endpoint.startswith("http://"):
        client["allow_http"] = True
    retries: dict[str, Any] = {
        "max_retries": CONFIG.client_retries,
        # A request that stalls is not repeated by the client; see `RetryPolicy`.
        "retry_timeout": timedelta(seconds=min(CONFIG.stall_seconds, CONFIG.retry_seconds) / 2),
        "backoff": {
            "init_backoff": timedelta(seconds=CONFIG.first_pause_seconds),
            "max_backoff": timedelta(seconds=CONFIG.last_pause_seconds),
            "base": 2,
        },
    }
    options: dict[str, Any] = {"prefix": prefix, "client_options": client, "retry_config": retries}
    if not s3:
        return GCSStore(parts.netloc, **options)
    # Deleting in bulk is a POST, which not all servers have and clients do not repeat.
    return S3Store(parts.netloc, disable_bulk_delete=True, **options)


class RetryPolicy:
    """Decides whether a failed operation is repeated, and waits until then.

    Parameters
    ----------
    answered
        Whether the store has ever answered.
    """

    def __init__(self, answered: bool) -> None:
        self._began = time.monotonic()
        self._answered = answered
        self._failures = 0

    @property
    def seconds(self) -> float:
        """Seconds since the operation was begun."""
        return time.monotonic() - self._began

    def wait(self, fault: Fault) -> bool:
        """Wait and return True if the operation should be done again."""
        self._answered |= fault.connected
        limit = CONFIG.retry_seconds if self._answered else CONFIG.first_retry_seconds
        pause = min(CONFIG.last_pause_seconds, CONFIG.first_pause_seconds * 2.0**self._failures)
        pause *= random.random()  # noqa: S311
        if not fault.again or self.seconds + pause > limit:
            return False
        self._failures += 1
        time.sleep(pause)
        return True

    def error(self, url: str, failure: str, fault: Fault) -> StoreError:
        """Return the final error: what failed, why, how long it was tried, what to do."""
        tried = ""
        if self._failures:
            tried = f" (tried {self._failures + 1} times in {self.seconds:.0f} s)"
        kind = StoreInputError if fault.bad_input else StoreAccessError
        return kind(scrubbed(f"{url}: {failure}: {fault.reason}{tried}; {fault.remedy}"))


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")


def _endpoint(url: str, s3: bool) -> str | None:
    """Return the endpoint of the environment, or None for the store's own."""
    s3_names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    names = s3_names if s3 else ("GOOGLE_BASE_URL",)
    name = next((name for name in names if os.environ.get(name)), None)
    if name is None:
        return None
    endpoint = os.environ[name]
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.query:
        raise StoreAccessError(f"{url}: {name} is not of the form https://HOST:PORT; correct it")
    if parts.scheme == "http" and not is_loopback(host):
        allow = "AWS_ALLOW_HTTP" if s3 else "GOOGLE_ALLOW_HTTP"
        if not _flag(allow):
            raise StoreAccessError(
                f"{url}: {name} is plain http, and {host} is another machine: who listens on the "
                f"way reads and alters the data; use https, or set {allow}=true"
            )
    return endpoint


def _require_s3_credentials(url: str) -> None:
    """Fail at once where there are no credentials; the client would ask for minutes."""
    environment = os.environ
    pair = [bool(environment.get(f"AWS_{name}")) for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    others = (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    )
    if any(pair) and not all(pair):
        raise StoreAccessError(f"{url}: only one of {S3_ENVIRONMENT} is set; set both or none")
    if all(pair) or _flag("AWS_SKIP_SIGNATURE") or any(environment.get(name) for name in others):
        return
    ask = environment.get("AWS_METADATA_ENDPOINT") or S3_METADATA
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "1"}
    if _flag("AWS_EC2_METADATA_DISABLED") or not _answers(
        ask, "PUT", "/latest/api/token", lifetime
    ):
        raise RetryPolicy(True).error(url, "cannot be opened", no_credentials(True))


def _require_gs_credentials(url: str) -> None:
    """As `_require_s3_credentials`."""
    environment = os.environ
    names = (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_BEARER_TOKEN",
    )
    if _flag("GOOGLE_SKIP_SIGNATURE") or any(environment.get(name) for name in names):
        return
    if (Path.home() / ".config/gcloud/application_default_credentials.json").exists():
        return
    host = environment.get("GCE_METADATA_HOST") or environment.get("GCE_METADATA_ROOT")
    ask = f"http://{host}" if host else GS_METADATA
    if not _answers(ask, "GET", "/computeMetadata/v1/", {"Metadata-Flavor": "Google"}):
        raise RetryPolicy(True).error(url, "cannot be opened", no_credentials(False))


def _answers(server: str, method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Return whether a machine's metadata server answers."""
    parts = urlsplit(server)
    for _ in range(2):
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=CONFIG.metadata_seconds
        )
        try:
            connection.request(method, path, headers=dict(headers))
            connection.getresponse()
            return True
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return False
