"""The query language on soups of its tokens and mutated conditions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsg_ray.ensemble.expression import compile_expression
from lsg_ray.errors import QueryError
from tests.ensemble.synthetic import QUERY_COLUMNS
from tests.fuzz.made import bounded, clean, fuzz, mutated

QUERY_TOKENS = st.lists(
    st.sampled_from(
        [
            *QUERY_COLUMNS,
            *("<", "<=", ">", ">=", "==", "!=", "=", "in", "not", "and", "or", "is", "if", "else"),
            *(
                "+",
                "-",
                "*",
                "/",
                "//",
                "%",
                "**",
                "&",
                "|",
                "~",
                "^",
                "@",
                "<<",
                ":=",
                "->",
                "...",
            ),
            *("(", ")", "[", "]", "{", "}", ",", ".", ":", ";", "\\", "'", '"', "#", "\n", "\t"),
            *("0", "1", "0.82", "1e308", "1e999", "9" * 400, "0x_", "1_0", "1j", "None", "True"),
            *("abs", "lambda", "x", "__import__", "os", "f'{1}'", "b''", "nan", "inf", "\x00", "é"),
            *(
                "\ud800",
                "𝐚",
                "await",
                "yield",
                "for",
                "del",
                "import",
                "exit()",
                "-" * 50,
                "(" * 50,
            ),
        ]
    ),
    max_size=20,
)
NUMBERS = st.sampled_from(["accuracy", "loss", "trial", "0.8", "-1", "1e9", "abs(loss)"])
VALID = st.recursive(
    st.tuples(NUMBERS, st.sampled_from([" < ", " >= ", " == ", " != "]), NUMBERS).map("".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join),
        inner.map(lambda text: f"not ({text})"),
    ),
    max_leaves=5,
)
TABLE = {name: np.array([0.0, 0.5, np.nan, 1.0, -3.0]) for name in QUERY_COLUMNS}


def try_to_ask(text: str) -> None:
    with bounded():
        try:
            condition = compile_expression(text, QUERY_COLUMNS)
        except QueryError as error:
            clean(error)
            return
        mask = condition(TABLE)
        assert mask.shape == (5,)
        assert mask.dtype == bool


@fuzz(800)
@given(QUERY_TOKENS, st.sampled_from([" ", ""]))
def test_token_soup(tokens, joint):
    try_to_ask(joint.join(tokens))


@fuzz(300)
@given(st.data())
def test_mutated_conditions(data):
    text = data.draw(VALID)
    try_to_ask(text)
    try_to_ask(data.draw(mutated(text.encode())).decode(errors="replace"))


@fuzz(100)
@given(st.text(max_size=80))
def test_any_text_as_a_condition(text):
    try_to_ask(text)
