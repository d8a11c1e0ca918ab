"""Conditions against NumPy, attacks on them, and queries against plain filtering."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.ensemble.expression import LIMITS, compile_expression
from lsg_ray.ensemble.location import Location
from lsg_ray.ensemble.query import query
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.errors import QueryError

from .synthetic import QUERY_COLUMNS, SCALARS, fill, make_spec, memory_url, rows

COLUMNS = {
    "accuracy": np.array([0.1, 0.82, 0.5, 0.82, 1.0, 0.0], np.float32),
    "loss": np.array([0.0, 1.5, -2.0, np.nan, 3.0, np.inf], np.float32),
    "trial": np.array([0, 1, 2, 3, 0, 2**31 - 1], np.int32),
}
FLOATS = {name: x.astype(np.float64) if x.dtype == np.int32 else x for name, x in COLUMNS.items()}

# Pairs of text and the value that NumPy gives; every number contains a column.
columns = st.sampled_from(sorted(COLUMNS)).map(lambda name: (name, FLOATS[name]))
constants = st.one_of(
    st.integers(-5, 5).map(float), st.floats(-1e3, 1e3).map(lambda x: round(x, 3) + 0.0)
).map(lambda x: (f"({x!r})", x))


def combined(inner):
    binary = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    apply = {
        "+": np.add,
        "-": np.subtract,
        "*": np.multiply,
        "/": np.true_divide,
        "//": np.floor_divide,
        "%": np.mod,
    }
    return st.one_of(
        st.tuples(inner, binary, st.one_of(inner, constants)).map(
            lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", apply[t[1]](t[0][1], t[2][1]))
        ),
        inner.map(lambda t: (f"(-{t[0]})", -t[1])),
        inner.map(lambda t: (f"abs({t[0]})", np.abs(t[1]))),
        st.tuples(inner, st.integers(0, 3)).map(
            lambda t: (f"({t[0][0]})**{t[1]}", t[0][1] ** t[1])
        ),
    )


numbers = st.recursive(columns, combined, max_leaves=4)
COMPARE = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def compare(t):
    (a, x), first, (b, y), second, (c, z) = t
    return f"{a} {first} {b} {second} {c}", COMPARE[first](x, y) & COMPARE[second](y, z)


comparisons = st.one_of(
    st.tuples(numbers, st.sampled_from(sorted(COMPARE)), st.one_of(numbers, constants)).map(
        lambda t: (f"{t[0][0]} {t[1]} {t[2][0]}", COMPARE[t[1]](t[0][1], t[2][1]))
    ),
    st.tuples(
        *(numbers, st.sampled_from(sorted(COMPARE)), numbers),
        *(st.sampled_from(sorted(COMPARE)), numbers),
    ).map(compare),
    st.tuples(columns, st.lists(st.integers(-1, 4), max_size=3)).map(
        lambda t: (f"{t[0][0]} in {t[1]!r}", np.isin(t[0][1], np.array(t[1], t[0][1].dtype)))
    ),
)
truths = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda t: (f"({t[0][0]} and {t[1][0]})", t[0][1] & t[1][1])),
        st.tuples(inner, inner).map(lambda t: (f"({t[0][0]} or {t[1][0]})", t[0][1] | t[1][1])),
        inner.map(lambda t: (f"not ({t[0]})", ~t[1])),
    ),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_conditions_agree_with_numpy(data):
    with np.errstate(all="ignore"):
        text, expected = data.draw(truths)
    mask = compile_expression(text, QUERY_COLUMNS)(COLUMNS)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, expected, err_msg=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy == 0.82", [0, 1, 0, 1, 0, 0]),
        ("accuracy in (0.82, 0.5)", [0, 1, 1, 1, 0, 0]),
        ("trial not in (0, 1)", [0, 0, 1, 1, 0, 1]),
        ("0.2 < accuracy <= 0.82", [0, 1, 1, 1, 0, 0]),
        ("trial * 3000000000 > 1e18", [0, 0, 0, 0, 0, 1]),
        ("trial % 2 == 1 and not accuracy < 0.5", [0, 1, 0, 1, 0, 0]),
        ("1 / trial > 2", [1, 0, 0, 0, 1, 0]),
        ("loss == loss", [1, 1, 1, 0, 1, 1]),
        ("1 < 2", [1] * 6),
        ("trial in ()", [0] * 6),
        ("1 / 0 > 5 and 0 / 0 != 0", [1] * 6),
        ("loss ** -1 > 1e300", [0] * 6),
        ("  accuracy\n > 0.9", [0, 0, 0, 0, 1, 0]),
        ("10 ** 16 * 10 ** 16 * accuracy > 1e400", [0] * 6),
    ],
)
def test_conditions_by_example(text, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = compile_expression(text, QUERY_COLUMNS)(COLUMNS)
    assert mask.astype(int).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__[0].__subclasses__() == 1",
        "accuracy.__class__ == 1",
        "accuracy[0] > 1",
        "eval('1') > 0",
        "(lambda: 1)() > 0",
        "[x for x in (1,)] == 1",
        "(y := 3) > 1",
        "f'{accuracy}' > 1",
        "'a' < 'b'",
        "accuracy > '0.5'",
        "b'x' == 1",
        "True",
        "accuracy == True",
        "accuracy > 1j",
        "accuracy > ...",
        "accuracy if trial else loss",
        "abs(accuracy, loss) > 1",
        "abs(x=accuracy) > 1",
        "abs(*accuracy) > 1",
        "abs > 1",
        "max(accuracy) > 1",
        "9**9**9**9 > accuracy",
        "accuracy ** 17 > 0",
        "accuracy ** trial > 0",
        "2 ** (1 + 1) > accuracy",
        "accuracy > " + "9" * 400,
        "trial in trial",
        "trial in (accuracy, 1)",
        "trial in (0, 1) in (1, 2)",
        "accuracy is 1",
        "accuracy & trial",
        "accuracy | trial > 0",
        "~trial == 1",
        "accuracy @ trial > 1",
        "trial << 2 > 1",
        "accuracy",
        "accuracy + 1",
        "not accuracy",
        "accuracy and trial",
        "(accuracy > 1) + 1 > 0",
        "(accuracy > 1) == (trial > 1)",
        "accuracy > 1; trial > 1",
        "accuracy = 1",
        "accuracy >",
        "import os",
        "accuracy > 1 #",
        "weights > 0",
        "acuracy > 0.5",
        "",
        "   ",
        "\0",
        "accuracy > 0.5 \0",
        "\u202eaccuracy > 0.5",
        "(" * 500 + "accuracy" + ")" * 500 + "> 0",
        "not " * 400 + "accuracy > 0",
        "-" * 1500 + "1 > accuracy",
        "(" * 90 + "accuracy" + ")" * 90 + " + 1 " * 200 + "> 0",
        "a" * (LIMITS.characters + 1),
        " or ".join(["trial > 1"] * 140),
        "+".join(["trial"] * 50) + "> 1",
    ],
)
def test_everything_else_is_refused_with_a_query_error(text):
    if text == "accuracy > 1 #":  # a comment is harmless
        assert compile_expression(text, QUERY_COLUMNS).names == {"accuracy"}
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(QueryError) as caught:
            compile_expression(text, QUERY_COLUMNS)
    assert "\0" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="accuracy trialoss()<>=!+-*/%0123456789., notandri[]'\"\\_.:éθ", max_size=40)
)
def test_any_text_is_either_understood_or_a_query_error(text):
    try:
        condition = compile_expression(text, QUERY_COLUMNS)
    except QueryError:
        return
    assert condition.names <= set(QUERY_COLUMNS)


def test_an_error_points_at_its_place():
    with pytest.raises(QueryError) as caught:
        compile_expression("  trial < 3 and acuracy > 0.8", QUERY_COLUMNS)
    first, source, caret = str(caught.value).splitlines()
    assert first.startswith("unknown name 'acuracy'; columns are configuration, accuracy,")
    assert first.endswith("(column 17)")
    assert source[caret.index("^") : caret.rindex("^") + 1] == "acuracy"
    with pytest.raises(QueryError, match=r"invalid syntax \(column 17\)"):
        compile_expression("accuracy >> 0.8 0.9", QUERY_COLUMNS)


@pytest.fixture(scope="module")
def ensemble():
    url = memory_url()
    fill(url, make_spec(count=100))
    return open_ensemble(url)


TABLE = rows(100, 31)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.79, 0.91),
    st.one_of(st.none(), st.integers(0, 120)),
    st.sampled_from([None, "accuracy", "-accuracy", "trial", "-trial", "-configuration"]),
)
def test_a_query_is_filter_sort_and_limit(ensemble, bound, limit, sort):
    result = query(ensemble, f"accuracy > {bound!r}", limit=limit, sort=sort)
    chosen = np.flatnonzero(TABLE["accuracy"] > np.float32(bound))
    if sort is not None:
        key = TABLE[sort.removeprefix("-")][chosen]
        chosen = chosen[np.argsort(-key if sort[0] == "-" else key, kind="stable")]
    chosen = chosen[:limit]
    assert tuple(result) == ensemble.query_columns == ("configuration", *SCALARS)
    for name, values in result.items():
        np.testing.assert_array_equal(values, TABLE[name][chosen])


def test_weights_are_spelled_as_signs(ensemble):
    found = query(ensemble.part("RB"), columns=["weights", "trial"], limit=3)
    assert list(found) == ["weights", "trial"]
    for spelled, weights in zip(found["weights"], TABLE["weights"][:, 27:], strict=False):
        assert [1 if sign == "+" else -1 for sign in spelled] == weights.tolist()


def test_reading_stops_at_the_limit(ensemble, monkeypatch):
    read, true_read = [], Location.read
    monkeypatch.setattr(
        Location,
        "read",
        lambda self, key, *a, **k: (read.append(key), true_read(self, key, *a, **k))[1],
    )
    found = query(ensemble, "accuracy > 0", columns=["configuration", "loss"], limit=20)
    assert found["configuration"].tolist() == list(range(20))
    assert set(read) == {"accuracy/c.0", "accuracy/c.1", "loss/c.0", "loss/c.1"}
    read.clear()
    query(ensemble, "accuracy > 2", columns=["weights"])
    assert {key.split("/")[0] for key in read} == {"accuracy"}


def test_wrong_columns_limits_and_orders_are_refused(ensemble):
    for arguments, words in [
        ({"columns": ["colour"]}, "unknown column 'colour'; columns are configuration"),
        ({"columns": ["loss", "loss"]}, "named twice"),
        ({"limit": -1}, "limit -1"),
        ({"sort": "colour"}, "sort: unknown column 'colour'"),
        ({"sort": "weights"}, "sort: unknown column"),
        ({"where": "loss"}, "this is a number; compare it"),
    ]:
        with pytest.raises(QueryError, match=words):
            query(ensemble, **arguments)
