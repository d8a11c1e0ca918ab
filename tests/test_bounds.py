"""Bounds and choices of arguments: checked by `public` as the types say."""

import inspect
from typing import Annotated, Literal, Unpack

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.typing import LossTasks, Seed

Few = Annotated[int, Ge(1), Le(3)]


@public
def bounded(
    first: Few,
    *,
    share: Annotated[float | None, Ge(0), Lt(1)] = None,
    beta: Annotated[float, Gt(0)] = 1.0,
    way: Literal["up", "down"] | None = None,
    many: Few | np.ndarray = 1,
    odd: "Unknown" = None,  # noqa: F821
):
    return first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": 0}, "first 0 given; at least 1"),
        ({"first": 10_000}, "first 10000 given; at most 3"),
        ({"first": 2**200}, "at most 3"),
        ({"first": 1, "share": 1.0}, "share 1.0 given; below 1"),
        ({"first": 1, "share": np.float64(-0.5)}, "share -0.5 given; at least 0"),
        ({"first": 1, "share": np.nan}, "share nan given; at least 0, and finite"),
        ({"first": 1, "beta": 0}, "beta 0 given; it must be positive"),
        ({"first": 1, "beta": 1e16}, r"beta 1e\+16 given; at most 1e\+15"),
        ({"first": 1, "beta": np.inf}, "beta inf given; it must be positive, and finite"),
        ({"first": 1, "way": "left"}, "way 'left' given; choose one of up, down"),
    ],
)
def test_arguments__outside_their_types_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        bounded(**arguments)
    first = arguments.pop("first")
    with pytest.raises(InputError, match=message):
        bounded(first, **arguments)


def test_arguments__inside_or_of_another_kind_are_taken():
    assert bounded(3, share=0.5, way="down", odd=object()) == 3
    assert bounded(1, share=None, way=None, many=np.arange(9)) == 1


@pytest.mark.parametrize("value", [2.5, np.float32(2.5), float("nan"), float("inf")])
def test_whole_numbers__are_whole(value):
    from lsg_ray.typing import Count

    @public
    def f(count: Count = 3):
        return count

    assert f(4) == 4
    assert f(np.int64(4)) == 4
    with pytest.raises(InputError, match=r"count .* given; a whole number is needed"):
        f(value)


@public
def shared(first, *, seed: Seed = 7, **run: "Unpack[LossTasks]"):
    return first, seed, run


def test_options_of_a_group__are_those_of_the_function():
    assert list(inspect.signature(shared).parameters) == [
        "first", "seed", "examples", "checkpoints", "progress",
    ]  # fmt: skip
    assert shared(1) == (1, 7, {"examples": 10_000, "checkpoints": None, "progress": None})
    assert shared(1, examples=5, seed=2)[1:] == (
        2,
        {"examples": 5, "checkpoints": None, "progress": None},
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'example'"):
        shared(1, example=5)
    with pytest.raises(InputError, match="examples -1 given; at least 0"):
        shared(1, examples=-1)
