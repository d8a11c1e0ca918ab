"""URLs of stores from parts that do not belong together."""

from hypothesis import given
from hypothesis import strategies as st

from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.urls import canonical_url
from lsg_ray.errors import LsgError, StoreInputError
from tests.fuzz.made import bounded, clean, fuzz


@fuzz(400)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    *("s3://", "gs://", "memory://", "file://", "file:///", "http://", "://"),
                    *(
                        "bucket",
                        "/",
                        "//",
                        "..",
                        ".",
                        "%2e",
                        "%",
                        "@",
                        "?",
                        "#",
                        ":",
                        "[",
                        "]",
                        "~",
                    ),
                    *("\\", "\x00", "\n", "\ud800", " ", "é", "a" * 400, "key:secret@"),
                ]
            ),
            st.text(max_size=4),
        ),
        max_size=8,
    ).map("".join)
)
def test_urls(text):
    with bounded():
        try:
            url = canonical_url(text)
        except StoreInputError as refusal:
            shown = clean(refusal, printable="://" in text)
            if "secret" in shown:
                raise AssertionError(shown) from None
            return
        assert canonical_url(url) == url
        if url.startswith(("s3://", "gs://")):
            assert not {"..", ".", ""} & set(url.split("/")[3:])
            return
        try:
            open_ensemble(url)
        except LsgError as error:  # names of files are shown as they are
            clean(error, printable="://" in url)
