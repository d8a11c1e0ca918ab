"""Fig. 18: test accuracy of deep networks over their width, beside the shallow one."""

from __future__ import annotations

import itertools

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import TOY, UNDER
from lsg_ray.typing import Floats

#: Widths of the hidden layers; those beyond the threshold of the paper, 10.
WIDTHS = (5, 10, 15, 20, 30, 50)
BEYOND = tuple(d for d in WIDTHS if d > 10)


def _accuracy(results: Results, name: str) -> Floats:
    values: Floats = results.ensembles[name].to_pandas(["accuracy"])["accuracy"].to_numpy()
    return values


def _gain(results: Results, width: int) -> Measured:
    """Return the mean accuracy at a width less that of shallow networks."""
    return bootstrapped(
        lambda deep, shallow: float(deep.mean() - shallow.mean()),
        _accuracy(results, f"deep-{width}"),
        _accuracy(results, "ensemble"),
        note=f"width {width}",
    )


def smallest_gain(results: Results) -> Measured:
    """Return the smallest gain over the shallow network, of the widths beyond the threshold."""
    return min((_gain(results, width) for width in BEYOND), key=lambda measured: measured.value)


def smallest_step(results: Results) -> Measured:
    """Return the smallest change of mean accuracy from one width to the next."""
    steps = [
        bootstrapped(
            lambda wide, narrow: float(wide.mean() - narrow.mean()),
            _accuracy(results, f"deep-{wide}"),
            _accuracy(results, f"deep-{narrow}"),
            note=f"width {narrow} to {wide}",
        )
        for narrow, wide in itertools.pairwise(WIDTHS)
    ]
    return min(steps, key=lambda measured: measured.value)


EXPERIMENT = Experiment(
    "ll-fig18",
    LIQUID_LIKE,
    "18",
    "Test accuracy of deep networks over their width, beside shallow ones",
    spec=merged(
        UNDER,
        {
            "network": {"widths": [20, 10]},
            "ensemble": {"count": 40, "threshold": 0.0, "draws": 20},
            "beside": {f"deep-{d}": {"network": {"widths": [20, d, d, 10]}} for d in WIDTHS},
            "study": {"overlaps": {}},
        },
    ),
    scales={
        "toy": merged(TOY, {"network": {"widths": [20, 10]}, "ensemble": {"count": 8}}),
        "paper": {"training": {"epochs": 50}, "ensemble": {"count": 200, "draws": 100}},
    },
    claims=(
        Claim(
            "Beyond a width of about 10, deep networks are more accurate than shallow ones.",
            "App. G, Fig. 18",
            "test accuracy, deep − shallow, smallest of the widths from 15",
            smallest_gain,
            Within(low=0.0),
        ),
        Claim(
            "The accuracy keeps improving with the width.",
            "App. G, Fig. 18",
            "change of test accuracy from a width to the next, smallest",
            smallest_step,
            Within(low=0.0),
        ),
    ),
    minutes=6,
)
