"""Errors of object stores and disks: what they mean, and what to do about them.

`obstore` has no codes for most of it, so patterns are looked for in the text of its errors, which
it does not promise to keep; all are here, and `CHECKED_OBSTORE` names the versions they are of.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from lsg_ray.errors import StoreError

#: Versions of obstore whose errors were looked at.
CHECKED_OBSTORE = ("0.12.1",)
S3_ENVIRONMENT = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
GS_ENVIRONMENT = "GOOGLE_APPLICATION_CREDENTIALS"
_SECRET = re.compile(r"(AWS|GOOGLE)_.*(KEY|KEY_ID|SECRET|TOKEN|CREDENTIAL)")
_S3_RIGHTS = "s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"
_GS_RIGHTS = "the role Storage Object User"
#: In errors of a client that looks for credentials.
_CREDENTIALS = (
    "source: Credential",
    "latest/api/token",
    "latest/meta-data/iam",
    "computeMetadata",
    "TokenRequest",
)
_RETRYABLE = {"408", "409", "425", "429", "500", "502", "503", "504"}
_RETRYABLE_CODES = {"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable"}

_REMEDIES = {
    errno.ENOSPC: "make room, then run the same command again: what is complete stays",
    errno.EDQUOT: "your quota is used up; make room, then run the same command again",
    errno.EACCES: "its permissions forbid that; correct them, then run the same command again",
    errno.EPERM: "its permissions forbid that; correct them, then run the same command again",
    errno.EROFS: "mount it for writing, then run the same command again",
    errno.EMFILE: "too many files are open; raise `ulimit -n`",
    errno.EIO: "the disk may be failing; look at the system's log",
}


class StoreAccessError(StoreError):
    """An object store cannot be reached or refuses; nothing is known of what it holds."""


@dataclass(frozen=True)
class Fault:
    """Why a request failed, what to do about it, and whether doing it again may help."""

    reason: str
    remedy: str
    again: bool = False
    connected: bool = True
    bad_input: bool = False


def explain(error: Exception, url: str, stall: float) -> Fault:
    """Return what an exception of obstore means; never repeats more than a line of it.

    ``stall``: seconds without a byte after which the client gives up.
    """
    text = str(error)
    s3 = url.startswith("s3:")
    status = _matched(r"status code: (\d{3})", text)
    code = _matched(r"<Code>(\w{1,60})</Code>", text) or _matched(r'"reason": ?"(\w{1,60})"', text)
    bucket = urlsplit(url).netloc
    seen = " ".join(part for part in (f"HTTP {status}" if status else None, code) if part)
    if "service account file" in text or "credentials file" in text:
        # The reason might quote a part of it.
        reason = "the key file cannot be read, or is none"
        return Fault(reason, f"correct {GS_ENVIRONMENT} or the file that it names")
    if any(mark in text for mark in _CREDENTIALS):
        return no_credentials(s3)
    if code in ("NoSuchBucket", "InvalidBucketName") or (status == "404" and not s3):
        remedy = "create it, or correct its name or the endpoint in the environment"
        return Fault(f"{seen}: there is no bucket {bucket!r}", remedy, bad_input=True)
    if code == "RequestTimeTooSkewed":
        return Fault(f"{seen}: this machine's clock is wrong", "set the clock (NTP)")
    if code in ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"):
        name = "AWS_SESSION_TOKEN" if s3 else GS_ENVIRONMENT
        return Fault(f"{seen}: the credentials have expired", f"renew them ({name}), run again")
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken") or status == "401":
        names = f"{S3_ENVIRONMENT} (and AWS_SESSION_TOKEN)" if s3 else GS_ENVIRONMENT
        return Fault(f"{seen}: the credentials are not accepted", f"check {names}")
    if status == "403":
        rights = _S3_RIGHTS if s3 else _GS_RIGHTS
        return Fault(f"{seen}: access denied", f"the credentials need {rights} on {bucket!r}")
    if status in ("301", "307") or "incorrectly configured region" in text:
        return Fault(f"{seen or 'redirected'}: {bucket!r} is in another region", "set AWS_REGION")
    if status in _RETRYABLE or code in _RETRYABLE_CODES:
        again = "the server is overloaded or failing; run the same command again later"
        return Fault(seen, again, again=True)
    unknown = Fault(_first_line(seen, text), "see what the store's logs say")
    return _of_connection(text, stall) or unknown


def _of_connection(text: str, stall: float) -> Fault | None:
    """Return what went wrong below HTTP, if anything did."""
    retry = "look at the network and the server; run the same command again"
    check = "check the endpoint in the environment, the network and the server"
    # Each in its own part of the HTTP client's text of the error and of its cause.
    if "dns error" in text:
        return Fault("the host's name is not known", check, again=True, connected=False)
    if "kind: ConnectionRefused" in text:
        return Fault("the connection is refused", check, again=True, connected=False)
    if re.search(r"certificate|UnknownIssuer|InvalidCertificate", text):
        remedy = "the server's certificate is not trusted; replace it, or check the endpoint"
        return Fault("TLS failed", remedy)
    if re.search(r"kind: Connect\b", text):
        return Fault("no connection", check, again=True, connected=False)
    if "TimedOut" in text or "kind: Timeout" in text:
        return Fault(f"no answer within {stall:g} s", retry, again=True)
    broken = ("kind: Request", "kind: Interrupted", "kind: Decode", "ConnectionReset", "Incomplete")
    if any(
        mark in text for mark in (*broken, "error decoding response body", "InvalidListResponse")
    ):
        return Fault("the connection broke, or the answer is cut short", retry, again=True)
    return None


def _matched(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


def _first_line(seen: str, text: str) -> str:
    line = (text.splitlines() or ["unknown fault"])[0]
    line = "".join(mark if mark.isprintable() else " " for mark in line)
    return seen or line[:300]


def no_credentials(s3: bool) -> Fault:
    """Return the fault of an environment without credentials."""
    role = "role" if s3 else "service account"
    names = S3_ENVIRONMENT if s3 else f"{GS_ENVIRONMENT} to a key file"
    return Fault(
        f"no credentials: the environment has none that can be used, and this machine no {role}",
        f"set {names} where this runs (for Ray: on every worker)",
    )


def is_missing_key(error: Exception) -> bool:
    """Return whether a key is absent, and not the bucket."""
    return isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error)


def remedy_of(error: Exception) -> str:
    """Return what to do about an error of the operating system, where that is known."""
    number = error.errno if isinstance(error, OSError) else None
    if match := re.search(r"\(os error (\d+)\)", str(error)):  # in the text of obstore's errors
        number = int(match[1])
    return f"; {_REMEDIES[number]}" if number in _REMEDIES else ""


def scrubbed(text: str) -> str:
    """Return a text with every secret of the environment left out."""
    for name, value in os.environ.items():
        if _SECRET.fullmatch(name) and len(value) >= 4:
            text = text.replace(value, "…")
    return text
