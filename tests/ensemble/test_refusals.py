"""What obstore says is what was looked for; whole requests are in test_s3_faults and test_gcs."""

from importlib.metadata import version

import pytest

from lsg_ray.ensemble import refusals


def test_the_texts_were_looked_at_in_this_version():
    """Where this fails, run test_s3_faults and test_gcs with the new obstore, then add it there."""
    assert version("obstore") in refusals.CHECKED_OBSTORE


@pytest.mark.parametrize(
    ("text", "reason", "again"),
    [
        ("Server returned status code: 503 <Code>SlowDown</Code>", "HTTP 503 SlowDown", True),
        ("status code: 403 <Code>X</Code>", "HTTP 403 X: access denied", False),
        ("hyper: dns error", "the host's name is not known", True),
        ("source: TimedOut", "no answer within 30 s", True),
        ("kind: ConnectionRefused", "the connection is refused", True),
        ("something else\nin two lines", "something else", False),
    ],
)
def test_what_a_text_means(text, reason, again):
    fault = refusals.explain(OSError(text), "s3://bucket/a", 30.0)
    assert (fault.reason, fault.again) == (reason, again)
