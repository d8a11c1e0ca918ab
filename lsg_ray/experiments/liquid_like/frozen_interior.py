"""Fig. 11: training with a part of the weights frozen at random, and its time.

Networks of which the interior is frozen learn about as well as whole ones, and faster; those of
784-100-100-10 do so, too.
"""

from __future__ import annotations

import time

import numpy as np

from lsg_ray.datasets import load_dataset
from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped
from lsg_ray.experiments.experiment import LIQUID_LIKE, Experiment, merged
from lsg_ray.experiments.liquid_like.cases import PARTS, TOY, UNDER
from lsg_ray.experiments.liquid_like.landscapes import difference
from lsg_ray.networks.solvers.mean_field import Frozen, train
from lsg_ray.rng import Stream, seed_sequence
from lsg_ray.spec import Spec

#: Ensembles whose learning curves are drawn, by what is frozen in them.
CURVES = {
    "whole": "ensemble",
    **{f"{part}-frozen": f"frozen-{part}" for part in PARTS},
    "wide": "wide",
    "wide-ITR-frozen": "wide-frozen",
}
#: Pairs of timings, and epochs of each: many short ones, as the difference is a few per cent.
TIMINGS, EPOCHS = 40, 1


def accuracy(results: Results, name: str) -> Measured:
    """Return the mean test accuracy of an ensemble."""
    values = results.ensembles[name].to_pandas(["accuracy"])["accuracy"].to_numpy()
    return bootstrapped(lambda x: float(x.mean()), values)


def loss_by_freezing(frozen: str, whole: str, results: Results) -> Measured:
    """Return the accuracy of networks with a frozen part less that of whole ones."""
    return difference(accuracy(results, frozen), accuracy(results, whole))


def interior_against_boundaries(results: Results) -> Measured:
    """Return the accuracy with ITR frozen less the larger one with a boundary frozen."""
    return difference(*(accuracy(results, f"frozen-{part}") for part in ("ITR", "LB", "RB")))


def ratio_of_times(spec: Spec) -> Measured:
    """Return the time of an epoch with ITR frozen over that without, in turns on one core."""
    data = load_dataset(spec.dataset).train
    training = spec.training.model_copy(update={"epochs": EPOCHS})

    def seconds(frozen: Frozen, n: int) -> float:
        seeds = [seed_sequence(spec.ensemble.seed, Stream.TRIAL, n, 0)]
        began = time.process_time()
        train(spec.network, training, data.x, data.y, seeds, loss=spec.loss, frozen=frozen)
        return time.process_time() - began

    seconds(Frozen(), 0)
    pairs = [(seconds(Frozen(("ITR",)), n), seconds(Frozen(), n)) for n in range(TIMINGS)]
    return bootstrapped(lambda x: float(x[:, 0].sum() / x[:, 1].sum()), np.array(pairs))


_WIDE = {
    "dataset": {"components": None, "train_examples": 10_000},
    "network": {"widths": [784, 100, 100, 10]},
    "training": {"learning_rate": 0.1, "epochs": 5},
    "ensemble": {"count": 6, "threshold": 0.0, "draws": 10, "snapshots": [0, 1, 3, 5]},
}
_TOY_WIDE = {
    "dataset": {"train_examples": 200},
    "network": {"widths": [64, 12, 12, 10]},
    "training": {"epochs": 5},
    "ensemble": {"count": 5},
}

EXPERIMENT = Experiment(
    "ll-fig11",
    LIQUID_LIKE,
    "11",
    "Training with a frozen interior",
    spec=merged(
        UNDER,
        {
            "ensemble": {"count": 200, "threshold": 0.0, "snapshots": [0, 1, 2, 5, 10, 20, 50]},
            "beside": {
                **{f"frozen-{part}": {"ensemble": {"frozen_parts": [part]}} for part in PARTS},
                "wide": _WIDE,
                "wide-frozen": merged(_WIDE, {"ensemble": {"frozen_parts": ["ITR"]}}),
            },
            "study": {
                "moments": {},
                **{
                    f"moments-{part}": {"stage": "moments", "ensemble": f"frozen-{part}"}
                    for part in PARTS
                },
                **{
                    f"curves-{curve}": {"stage": "learning", "solutions": ensemble}
                    for curve, ensemble in CURVES.items()
                },
            },
        },
    ),
    scales={
        "toy": merged(
            TOY,
            {
                "ensemble": {"count": 20, "threshold": 0.0, "snapshots": [0, 1, 2, 5, 10]},
                "beside": {"wide": _TOY_WIDE, "wide-frozen": _TOY_WIDE},
            },
        ),
        "paper": {
            "training": {"epochs": 200},
            "ensemble": {"count": 1000, "snapshots": [0, 1, 2, 5, 10, 20, 50, 100, 200]},
            "beside": {
                name: {
                    "dataset": {"train_examples": 60_000},
                    "training": {"epochs": 200},
                    "ensemble": {"count": 20, "snapshots": [0, 1, 5, 20, 100, 200]},
                }
                for name in ("wide", "wide-frozen")
            },
        },
    },
    claims=(
        Claim(
            "Training with a randomly frozen interior works.",
            "Sec. IV.6, Fig. 11",
            "test accuracy, ITR frozen − none",
            lambda results: loss_by_freezing("frozen-ITR", "ensemble", results),
            Within(low=-0.05),
        ),
        Claim(
            "It works better than with a frozen boundary.",
            "Sec. IV.6, Fig. 11",
            "test accuracy, ITR frozen − larger of LB and RB frozen",
            interior_against_boundaries,
            Within(low=0.0),
        ),
        Claim(
            "Training is faster, as the interior needs no learning.",
            "Sec. IV.6, Fig. 11",
            "CPU time of an epoch, ITR frozen / none",
            lambda results: ratio_of_times(results.ensembles["ensemble"].spec),
            Within(high=1.0),
        ),
        Claim(
            "A frozen interior works in 784-100-100-10, too.",
            "Sec. IV.6, Fig. 11",
            "test accuracy, ITR frozen − none",
            lambda results: loss_by_freezing("wide-frozen", "wide", results),
            Within(low=-0.05),
        ),
        Claim(
            "Training of 784-100-100-10 is faster with a frozen interior.",
            "Sec. IV.6, Fig. 11",
            "CPU time of an epoch, ITR frozen / none",
            lambda results: ratio_of_times(results.ensembles["wide"].spec),
            Within(high=1.0),
        ),
    ),
    minutes=15,
)
