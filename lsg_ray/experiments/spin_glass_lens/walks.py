"""Figs. 2 and A1: random walks from solutions, free ones and those below the loss of the start.

The step sizes of the paper are not legible in its text; those here span from walks that stay in the
flat region to walks that leave it at once.  Of moves to losses below that of the start one is made,
so that a walk of small steps first goes down, and the share of allowed moves rises; it falls where
steps are so large that walls are near.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.experiments.claim import Claim, Measured, Results, Within
from lsg_ray.experiments.estimators import bootstrapped
from lsg_ray.experiments.experiment import SPIN_GLASS_LENS, Experiment
from lsg_ray.experiments.spin_glass_lens.measures import by_solution
from lsg_ray.typing import Floats

DATA = ("mnist", "fashion")


def _rise(results: Results, data: str, measure: str = "train_loss") -> Floats:
    """Return the rise of a loss on free walks, (solution, sigma, step)."""
    loss = by_solution(results.steps[f"walks-{data}"], measure)
    return loss - loss[..., :1]


def order_of_sizes(results: Results) -> Measured:
    """Return the smallest difference of the mean loss between neighbouring σ, at an early step."""
    rises = [_rise(results, data) for data in DATA]
    early = [rise[..., rise.shape[-1] // 4] for rise in rises]

    def smallest(*groups: Floats) -> float:
        return float(min(np.diff(group.mean(axis=0)).min() for group in groups))

    return bootstrapped(smallest, *early, note="smaller of both data sets")


def early_share(results: Results) -> Measured:
    """Return the share of the rise in the first quarter of the walks of the smallest σ."""
    rises = [_rise(results, data)[:, 0] for data in DATA]

    def share(*groups: Floats) -> float:
        means = [group.mean(axis=0) for group in groups]
        return float(max(mean[(len(mean) - 1) // 4] / mean[-1] for mean in means))

    return bootstrapped(share, *rises, note="larger of both data sets; of a steady rise, 0.25")


def settled(results: Results) -> Measured:
    """Return the share of the walks of the largest σ that reach a plateau, of both data sets."""
    shares = [by_solution(results.steps[f"walks-{data}"], "settled")[:, -1] for data in DATA]

    def smaller(*groups: Floats) -> float:
        return float(min(group.mean() for group in groups))

    measured = bootstrapped(smaller, *shares, note="smaller of both data sets")
    walks = sum(map(len, shares)) / len(DATA)
    # All alike: as many as one walk may differ.
    return measured._replace(error=max(measured.error, 1 / walks))


def test_against_train(results: Results) -> Measured:
    """Return the rise of the test loss over that of the training loss, at the end, middle σ."""
    pairs = [
        np.stack([_rise(results, data, f"{part}_loss")[..., -1] for part in ("train", "test")], 1)
        for data in DATA
    ]

    def ratio(*groups: Floats) -> float:
        middle = [group.mean(axis=0)[:, group.shape[2] // 2] for group in groups]
        return float(max((test / train for train, test in middle), key=lambda r: abs(np.log(r))))

    return bootstrapped(ratio, *pairs, note="of both data sets the one further from 1")


def fall_of_share(results: Results) -> Measured:
    """Return the share of allowed moves at the end of constrained walks, less that at the start."""
    share = by_solution(results.steps["constrained"], "share")

    def changes(rows: Floats) -> Floats:
        mean = rows.mean(axis=0)
        quarter = max(1, mean.shape[1] // 4)
        change: Floats = mean[:, -quarter:].mean(axis=1) - mean[:, :quarter].mean(axis=1)
        return change

    def fall(rows: Floats) -> float:
        return float(changes(rows).max())

    note = f"the largest; by σ {', '.join(f'{x:+.3f}' for x in changes(share))}"
    return bootstrapped(fall, share, note=note)


EXPERIMENT = Experiment(
    "sg-fig2",
    SPIN_GLASS_LENS,
    "2 and A1",
    "Random walks from solutions",
    spec={
        "dataset": {"name": "mnist"},
        "network": {"family": "relu", "widths": [784, 256, 10]},
        "training": {"epochs": 20},
        "ensemble": {"count": 10},
        "beside": {"fashion": {"dataset": {"name": "fashion-mnist"}}},
        "study": {
            **{
                f"walks-{data}": {
                    "stage": "walk",
                    "solutions": "ensemble" if data == "mnist" else data,
                    "sigma": [0.003, 0.01, 0.03, 0.1],
                    "steps": 100,
                    "examples": 2000,
                }
                for data in DATA
            },
            "constrained": {
                "stage": "walk",
                "solutions": "ensemble",
                "kind": "constrained",
                "sigma": [0.001, 0.003, 0.01],
                "steps": 40,
                "examples": 2000,
            },
        },
    },
    scales={
        "toy": {
            "dataset": {"name": "digits"},
            "network": {"widths": [64, 16, 10]},
            "training": {"batch_size": 64, "epochs": 10},
            "ensemble": {"count": 4},
            "beside": {"fashion": {"dataset": {"name": "digits"}, "ensemble": {"seed": 1}}},
            "study": {
                **{f"walks-{data}": {"steps": 16, "examples": 500} for data in DATA},
                "constrained": {"steps": 8, "examples": 500},
            },
        },
        "paper": {
            "training": {"epochs": 50},
            "ensemble": {"count": 100},
            "study": {
                **{
                    f"walks-{data}": {"steps": 1000, "examples": 0, "configurations": 100}
                    for data in DATA
                },
                "constrained": {"steps": 1000, "examples": 0, "configurations": 100},
            },
        },
    },
    claims=(
        Claim(
            "The loss increases more rapidly in cases with large σ.",
            "Sec. 4.2, Fig. 2",
            "smallest step of the mean training loss between σ (nat)",
            order_of_sizes,
            Within(low=0.0),
        ),
        Claim(
            "Walks traverse an initial flat region at smaller values of σ.",
            "Sec. 4.2, Fig. 2",
            "share of the rise in the first quarter, smallest σ",
            early_share,
            Within(high=0.25),
        ),
        Claim(
            "Walks reach a plateau of high loss at the largest σ.",
            "Sec. 4.2, Fig. 2",
            "share of walks that settle (change below 10 % in the last quarter)",
            settled,
            Within(low=0.5),
        ),
        Claim(
            "Similar trends are observed in the test set.",
            "Sec. 4.2, Fig. 2",
            "rise of the test loss / of the training loss",
            test_against_train,
            Within(0.8, 1.25),
        ),
        Claim(
            "The fraction of moves to losses below that of the start decreases along a walk.",
            "App. A.4.1, Fig. A1",
            "share in the last quarter − in the first",
            fall_of_share,
            Within(high=0.0),
        ),
    ),
    minutes=10,
)
