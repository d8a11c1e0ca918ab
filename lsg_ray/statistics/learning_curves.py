"""Learning curves of an ensemble: loss and accuracy by epoch, in the mean and of each network.

Networks that stop at a target loss enter later epochs with their last value, so that means are of
the same networks throughout.  The *fluctuation* is the root mean square change of the test accuracy
from epoch to epoch in the second half of training, less the mean change of all networks at each
epoch, which is the trend.

Source: spin-glass-lens paper, App. A.4.2, Figs. A4, A5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.ensemble.chosen import as_ensemble
from lsg_ray.errors import InputError
from lsg_ray.networks.families.relu import CURVES
from lsg_ray.stage import SOLUTIONS, Figure, Stage
from lsg_ray.typing import Count, EnsembleLike, Floats


@public
def learning_curves(solutions: EnsembleLike, *, networks: Count = 1000) -> xarray.Dataset:
    """Return loss and accuracy of networks by epoch of training.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, a view of one, or the path or URL of its store.
    networks
        Number of networks, the first ones; all if there are fewer.

    Returns
    -------
    xarray.Dataset
        Over (network, epoch) ``train_loss`` and ``train_accuracy``, means during the epoch, and
        ``test_loss`` and ``test_accuracy`` at its end; losses in nats.  Attribute ``fluctuation``:
        see above; NaN of one network, or fewer than three epochs.

    Raises
    ------
    InputError
        The networks have no training curves, or there are none.

    Notes
    -----
    Reads four numbers for each network and epoch.
    """
    ensemble = as_ensemble(solutions, "an ensemble of ReLU networks is needed")
    columns = {column.name for column in ensemble.header.family.columns(ensemble.spec)}
    names = {name: f"curve_{name}" for name in CURVES}
    if not columns.issuperset(names.values()):
        raise InputError(
            f"{ensemble.url}: {ensemble.header.family.about} have no training curves; ReLU "
            "networks do (network.family: relu)"
        )
    rows = ensemble.column("configuration")[:networks]
    if not len(rows):
        raise InputError(f"{ensemble.url}: no networks; at least 1 is needed")
    stored = ensemble.take(rows, list(names.values()))
    units = {"loss": "nat", "accuracy": "1"}
    variables = {
        name: (
            ("network", "epoch"),
            carried(stored[names[name]].astype(np.float64)),
            {"long_name": about, "units": units[name.partition("_")[2]]},
        )
        for name, about in CURVES.items()
    }
    epochs = np.arange(1, ensemble.spec.training.epochs + 1)
    result = xarray.Dataset(variables, {"network": rows, "epoch": epochs})
    return result.assign_attrs(
        statistic="learning curves",
        source=ensemble.spec.name,
        spec_hash=ensemble.spec_hash,
        networks=len(rows),
        widths=list(ensemble.spec.network.widths),
        fluctuation=fluctuation(result["test_accuracy"].values),
    )


def carried(rows: Floats) -> Floats:
    """Return curves (networks, epochs) with NaN replaced by the last value before it.

    >>> carried(np.array([[1.0, 2.0, np.nan]])).tolist()
    [[1.0, 2.0, 2.0]]
    """
    last = np.maximum.accumulate(np.where(np.isnan(rows), 0, np.arange(rows.shape[1])), axis=1)
    return np.take_along_axis(rows, last, axis=1)


def fluctuation(curves: Floats) -> float:
    """Return the fluctuation of curves (networks, epochs); see above.

    >>> fluctuation(np.array([[0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, -1.0, 0.0]]))
    1.0
    """
    changes = np.diff(curves, axis=1)[:, (curves.shape[1] - 1) // 2 :]
    if len(changes) < 2 or not changes.shape[1]:
        return float("nan")
    changes = changes - changes.mean(axis=0)
    return float(np.sqrt((changes**2).mean()))


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    first, best = result["test_accuracy"].isel(epoch=0), result["test_accuracy"].max("epoch")
    last = result["test_accuracy"].isel(epoch=-1)
    return {
        "networks": result.attrs["networks"],
        "epochs": result.sizes["epoch"],
        "train_loss_last": float(result["train_loss"].isel(epoch=-1).mean()),
        "test_accuracy_first": float(first.mean()),
        "test_accuracy_best": float(best.mean()),
        "test_accuracy_last": float(last.mean()),
        "fluctuation": result.attrs["fluctuation"],
    }


STAGE = Stage(
    "learning",
    learning_curves,
    reads={"solutions": SOLUTIONS},
    summary=_shown,
    figures=[
        Figure(
            "lsg_ray.report.figures.training:learning_figure",
            "Learning curves",
            "learning_caption",
            together=7,
        )
    ],
)
