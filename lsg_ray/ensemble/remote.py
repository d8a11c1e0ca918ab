"""Object stores: how they are opened, how long they are waited for, what their refusals mean.

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
import ipaddress
import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lsg_ray.errors import StoreError, StoreInputError

if TYPE_CHECKING:
    from obstore.store import GCSStore, S3Store

#: Seconds to connect, and seconds without a byte (an upload of 5 MiB and its answer), at most.
CONNECT_SECONDS = 5.0
STALL_SECONDS = 30.0
#: Seconds for one request with all its data.
REQUEST_SECONDS = 600.0
#: Repetitions by the client itself, at once.
CLIENT_RETRIES = 3
#: Seconds after which a failing operation is not begun again, and where the store has never
#: answered: then it is the address, more likely than not.
PATIENCE_SECONDS = 120.0
FIRST_PATIENCE_SECONDS = 10.0
#: Pauses between repetitions: random up to the first, doubled each time up to the last.
FIRST_PAUSE_SECONDS = 0.2
LAST_PAUSE_SECONDS = 10.0
#: Seconds to wait for a machine's own credentials, where the environment has none; tried twice.
METADATA_SECONDS = 1.5
#: Parts of a large object that are sent at once.
UPLOADS = 4

S3_METADATA = "http://169.254.169.254"
GS_METADATA = "http://metadata.google.internal"

#: Names of a bucket: what S3 and Google Cloud Storage allow, old names included.
BUCKET = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
#: Bytes of a prefix; keys have 1,024, and ours need less than the rest.
MAX_PREFIX = 900
_SECRET = re.compile(r"(AWS|GOOGLE)_.*(KEY|KEY_ID|SECRET|TOKEN|CREDENTIAL)")
_S3_ENVIRONMENT = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_GS_ENVIRONMENT = "GOOGLE_APPLICATION_CREDENTIALS"


class PlaceError(StoreError):
    """An object store cannot be reached or refuses; nothing is known of what it holds."""


@dataclass(frozen=True)
class Fault:
    """Why a request failed, what to do about it, and whether doing it again may help."""

    reason: str
    remedy: str
    again: bool = False
    connected: bool = True
    bad_input: bool = False


def check_bucket(url: str, scheme: str, bucket: str, prefix: str) -> None:
    """Refuse names that no object store has, or that could mean another place than they say.

    Raises
    ------
    StoreInputError
        Says what is wrong with the URL.
    """
    if not BUCKET.fullmatch(bucket):
        raise StoreInputError(
            f"{url}: {bucket!r} is not the name of a bucket; write {scheme}://BUCKET/PREFIX"
        )
    if len(prefix.encode(errors="replace")) > MAX_PREFIX:
        raise StoreInputError(f"{scheme}://{bucket}/…: the prefix is over {MAX_PREFIX} bytes long")


def open_store(url: str) -> S3Store | GCSStore:
    """Return the obstore client of an ``s3://`` or ``gs://`` URL; nothing is requested of it yet.

    Raises
    ------
    PlaceError
        There are no credentials, or the endpoint cannot be used.
    """
    from obstore.store import GCSStore, S3Store

    parts = urlsplit(url)
    prefix = parts.path.strip("/") or None
    s3 = parts.scheme == "s3"
    endpoint = _endpoint(url, s3)
    (_require_s3_credentials if s3 else _require_gs_credentials)(url)
    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=STALL_SECONDS),
        "timeout": timedelta(seconds=REQUEST_SECONDS),
    }
    if endpoint is not None and endpoint.startswith("http://"):
        client["allow_http"] = True
    retries: dict[str, Any] = {
        "max_retries": CLIENT_RETRIES,
        # A request that stalls is not repeated by the client; see `Patience`.
        "retry_timeout": timedelta(seconds=min(STALL_SECONDS, PATIENCE_SECONDS) / 2),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_PAUSE_SECONDS),
            "max_backoff": timedelta(seconds=LAST_PAUSE_SECONDS),
            "base": 2,
        },
    }
    options: dict[str, Any] = {
        "prefix": prefix, "client_options": client, "retry_config": retries,
    }  # fmt: skip
    if not s3:
        return GCSStore(parts.netloc, **options)
    # Deleting in bulk is a POST, which not all servers have and clients do not repeat.
    return S3Store(parts.netloc, disable_bulk_delete=True, **options)


class Patience:
    """Decides whether a failed operation is done again, and waits until then.

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

    def waits(self, fault: Fault) -> bool:
        """Wait and return True if the operation should be done again."""
        self._answered |= fault.connected
        limit = PATIENCE_SECONDS if self._answered else FIRST_PATIENCE_SECONDS
        pause = min(LAST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**self._failures)
        pause *= random.random()  # noqa: S311
        if not fault.again or self.seconds + pause > limit:
            return False
        self._failures += 1
        time.sleep(pause)
        return True

    def error(self, url: str, what: str, fault: Fault) -> StoreError:
        """Return the final error: what failed, why, how long it was tried, what to do."""
        tried = ""
        if self._failures:
            tried = f" (tried {self._failures + 1} times in {self.seconds:.0f} s)"
        kind = StoreInputError if fault.bad_input else PlaceError
        return kind(scrubbed(f"{url}: {what}: {fault.reason}{tried}; {fault.remedy}"))


def scrubbed(text: str) -> str:
    """Return a text with every secret of the environment left out."""
    for name, value in os.environ.items():
        if _SECRET.fullmatch(name) and len(value) >= 4:
            text = text.replace(value, "…")
    return text


def is_loopback(host: str) -> bool:
    """Return whether a host can only be this machine; names are not looked up.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.53", "::1")]
    [True, True, True]
    >>> [is_loopback(host) for host in ("127.0.0.1.example.com", "127.1", "0.0.0.0")]
    [False, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return number in ipaddress.ip_network("127.0.0.0/8") or number == ipaddress.ip_address("::1")


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")


# What a refusal means

_S3_RIGHTS = "s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"
_GS_RIGHTS = "the role Storage Object User"
_RETRYABLE = {"408", "409", "425", "429", "500", "502", "503", "504"}
_RETRYABLE_CODES = {"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable"}


def explain(error: Exception, url: str) -> Fault:
    """Return what an exception of obstore means; never repeats more than a line of it."""
    text = str(error)
    s3 = url.startswith("s3:")
    status = _found(r"status code: (\d{3})", text)
    code = _found(r"<Code>(\w{1,60})</Code>", text) or _found(r'"reason": ?"(\w{1,60})"', text)
    bucket = urlsplit(url).netloc
    seen = " ".join(part for part in (f"HTTP {status}" if status else None, code) if part)
    if "service account file" in text or "credentials file" in text:
        # What is wrong with it might be told with a piece of it.
        reason = "the key file cannot be read, or is none"
        return Fault(reason, f"mend {_GS_ENVIRONMENT} or the file that it names")
    if _of_credentials(text):
        return _no_credentials(s3)
    if code in ("NoSuchBucket", "InvalidBucketName") or (status == "404" and not s3):
        remedy = "create it, or mend its name or the endpoint in the environment"
        return Fault(f"{seen}: there is no bucket {bucket!r}", remedy, bad_input=True)
    if code == "RequestTimeTooSkewed":
        return Fault(f"{seen}: this machine's clock is wrong", "set the clock (NTP)")
    if code in ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"):
        name = "AWS_SESSION_TOKEN" if s3 else _GS_ENVIRONMENT
        return Fault(f"{seen}: the credentials have expired", f"renew them ({name}), run again")
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken") or status == "401":
        names = f"{_S3_ENVIRONMENT} (and AWS_SESSION_TOKEN)" if s3 else _GS_ENVIRONMENT
        return Fault(f"{seen}: the credentials are not accepted", f"check {names}")
    if status == "403":
        rights = _S3_RIGHTS if s3 else _GS_RIGHTS
        return Fault(f"{seen}: access denied", f"the credentials need {rights} on {bucket!r}")
    if status in ("301", "307") or "incorrectly configured region" in text:
        return Fault(f"{seen or 'redirected'}: {bucket!r} is in another region", "set AWS_REGION")
    if status in _RETRYABLE or code in _RETRYABLE_CODES:
        again = "the server is overloaded or failing; run the same command again later"
        return Fault(seen, again, again=True)
    return _of_connection(text) or Fault(_first_line(seen, text), "see what the store's logs say")


def _of_credentials(text: str) -> bool:
    marks = ("latest/api/token", "latest/meta-data/iam", "computeMetadata", "TokenRequest")
    return "source: Credential" in text or any(mark in text for mark in marks)


def _of_connection(text: str) -> Fault | None:
    """Return what went wrong below HTTP, if anything did."""
    retry = "look at the network and the server; run the same command again"
    check = "check the endpoint in the environment, the network and the server"
    # Each at its own place in what the HTTP client says of its error and of the cause.
    if "dns error" in text:
        return Fault("the host's name is not known", check, again=True, connected=False)
    if "kind: ConnectionRefused" in text:
        return Fault("the connection is refused", check, again=True, connected=False)
    if re.search(r"certificate|UnknownIssuer|InvalidCertificate", text):
        remedy = "the server's certificate is not trusted; mend it, or check the endpoint"
        return Fault("TLS failed", remedy)
    if re.search(r"kind: Connect\b", text):
        return Fault("no connection", check, again=True, connected=False)
    if "TimedOut" in text or "kind: Timeout" in text:
        reason = f"no answer within {STALL_SECONDS:g} s"
        return Fault(reason, retry, again=True)
    broken = ("kind: Request", "kind: Interrupted", "kind: Decode", "ConnectionReset", "Incomplete")
    if any(
        mark in text for mark in (*broken, "error decoding response body", "InvalidListResponse")
    ):
        return Fault("the connection broke, or the answer is cut short", retry, again=True)
    return None


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


def _first_line(seen: str, text: str) -> str:
    line = (text.splitlines() or ["unknown fault"])[0]
    line = "".join(mark if mark.isprintable() else " " for mark in line)
    return seen or line[:300]


# Credentials and endpoints


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
        raise PlaceError(f"{url}: {name} is not of the form https://HOST:PORT; mend it")
    if parts.scheme == "http" and not is_loopback(host):
        allow = "AWS_ALLOW_HTTP" if s3 else "GOOGLE_ALLOW_HTTP"
        if not _flag(allow):
            raise PlaceError(
                f"{url}: {name} is plain http, and {host} is another machine: who listens on the "
                f"way reads and alters the data; use https, or set {allow}=true"
            )
    return endpoint


def _no_credentials(s3: bool) -> Fault:
    role = "role" if s3 else "service account"
    names = _S3_ENVIRONMENT if s3 else f"{_GS_ENVIRONMENT} to a key file"
    return Fault(
        f"no credentials: the environment has none that can be used, and this machine no {role}",
        f"set {names} where this runs (for Ray: on every worker)",
    )


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
        raise PlaceError(f"{url}: only one of {_S3_ENVIRONMENT} is set; set both or none")
    if all(pair) or _flag("AWS_SKIP_SIGNATURE") or any(environment.get(name) for name in others):
        return
    ask = environment.get("AWS_METADATA_ENDPOINT") or S3_METADATA
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "1"}
    if _flag("AWS_EC2_METADATA_DISABLED") or not _answers(
        ask, "PUT", "/latest/api/token", lifetime
    ):
        raise Patience(True).error(url, "cannot be opened", _no_credentials(True))


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
        raise Patience(True).error(url, "cannot be opened", _no_credentials(False))


def _answers(server: str, method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Return whether a machine's metadata server says anything."""
    parts = urlsplit(server)
    for _ in range(2):
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=METADATA_SECONDS
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
