"""Learning curves of an ensemble: loss and accuracy by epoch, in the mean and of each network.

Networks that stop at a target loss enter later epochs with their last value, so that means are of
the same networks throughout.  Of networks without such curves, but with snapshots along training
(``ensemble.snapshots``), the curves are those of the snapshots.  The *fluctuation* is the root mean
square change of the test accuracy from epoch to epoch in the second half of training, less the mean
change of all networks at each epoch, which is the trend.

Source: spin-glass-lens paper, App. A.4.2, Figs. A4, A5; liquid-like paper, Fig. 11.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from lsg_ray.arrays import public
from lsg_ray.ensemble.chosen import as_ensemble
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.ensemble.schema import SNAPSHOT
from lsg_ray.errors import InputError
from lsg_ray.networks.families.relu import CURVES
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.typing import Array, Count, EnsembleLike, Floats


@public
def learning_curves(solutions: EnsembleLike, *, networks: Count = 1000) -> xarray.Dataset:
    """Return loss and accuracy of networks by epoch of training.

    Parameters
    ----------
    solutions
        Ensemble of ReLU networks, or of others with snapshots; a view of one, or the path or URL of
        its store.
    networks
        Number of networks, the first ones; all if there are fewer.

    Returns
    -------
    xarray.Dataset
        Over (network, epoch) ``train_loss`` and ``train_accuracy``, means during the epoch, and
        ``test_loss`` and ``test_accuracy`` at its end; losses in nats.  Of snapshots, which may be
        between epochs, from 0 on: ``test_accuracy``, and loss and accuracy on the set that networks
        are selected on.  Attribute ``fluctuation``: see above; NaN of one network, fewer than three
        epochs, or snapshots.

    Raises
    ------
    InputError
        The networks have neither training curves nor snapshots, or there are none.

    Notes
    -----
    Reads four numbers for each network and epoch, or snapshot.
    """
    ensemble = as_ensemble(solutions, "an ensemble of networks is needed")
    epochs, names = _stored(ensemble)
    rows = ensemble.column("configuration")[:networks]
    if not len(rows):
        raise InputError(f"{ensemble.url}: no networks; at least 1 is needed")
    stored = ensemble.take(rows, list(names))
    units = {"loss": "nat", "accuracy": "1"}
    variables = {
        name: (
            ("network", "epoch"),
            carried(stored[column].astype(np.float64)),
            {"long_name": about, "units": units[name.partition("_")[2]]},
        )
        for column, (name, about) in names.items()
    }
    result = xarray.Dataset(variables, {"network": rows, "epoch": epochs})
    every_epoch = not next(iter(names)).startswith(SNAPSHOT)
    return result.assign_attrs(
        statistic="learning curves",
        source=ensemble.spec.name,
        spec_hash=ensemble.spec_hash,
        networks=len(rows),
        widths=list(ensemble.spec.network.widths),
        fluctuation=fluctuation(result["test_accuracy"].values) if every_epoch else np.nan,
    )


def _stored(ensemble: Ensemble) -> tuple[Array, dict[str, tuple[str, str]]]:
    """Return epochs, and name and description of the curve in each column of a store."""
    spec, family = ensemble.spec, ensemble.header.family
    columns = {column.name for column in family.columns(spec)}
    curves = {f"curve_{name}": (name, about) for name, about in CURVES.items()}
    if columns.issuperset(curves):
        return np.arange(1, spec.training.epochs + 1), curves
    unit, times = spec.times
    if not times or not family.measures:
        raise InputError(
            f"{ensemble.url}: {family.about} have no training curves; ReLU networks do "
            "(network.family: relu), and others with snapshots along training "
            "(ensemble.snapshots: [0, 1, 2, 5])"
        )
    if ensemble.at is not None:
        raise InputError(f"{ensemble.url}: a view of one snapshot given; curves are of all of them")
    chosen = spec.ensemble.selection
    snapshots = {
        f"{SNAPSHOT}loss": (f"{chosen}_loss", f"loss on the {chosen} set"),
        f"{SNAPSHOT}accuracy": (f"{chosen}_accuracy", f"accuracy on the {chosen} set"),
        f"{SNAPSHOT}test_accuracy": ("test_accuracy", "accuracy on the test set"),
    }
    if chosen == "test":  # twice the same
        del snapshots[f"{SNAPSHOT}accuracy"]
    return np.array(times) / spec.units_per_epoch(unit), snapshots


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
    ends = {
        f"{name}_last": float(result[name].isel(epoch=-1).mean())
        for name in ("train_loss", "test_loss")
        if name in result
    }
    accuracy = result["test_accuracy"]
    return {
        "networks": result.attrs["networks"],
        "epochs": float(result["epoch"][-1]),
        **ends,
        "test_accuracy_first": float(accuracy.isel(epoch=0).mean()),
        "test_accuracy_best": float(accuracy.max("epoch").mean()),
        "test_accuracy_last": float(accuracy.isel(epoch=-1).mean()),
        "fluctuation": result.attrs["fluctuation"],
    }


STAGE = Stage(
    "learning",
    learning_curves,
    reads={"solutions": ENSEMBLE},
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
