"""Training curves of networks of real weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lsg_ray.datasets import Dataset
from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.networks.families.relu import CURVES
from lsg_ray.report import style
from lsg_ray.report.section import Section, section
from lsg_ray.statistics.learning_curves import carried
from lsg_ray.typing import Array

#: Most networks whose curves are read.
MAX_CURVES_READ = 200
#: Most epochs of a curve that are marked, such as those of snapshots.
FEW_EPOCHS = 20


@style.styled
def curves_figure(epochs: Array, curves: Mapping[str, Array], names: Sequence[str]) -> Figure:
    """Draw training curves (networks, epochs), by the name of the array in the store.

    Networks that have stopped enter the mean with their last value.
    """
    figure, (loss, accuracy) = style.panels(2.6, 2)
    for axes, measure in ((loss, "loss"), (accuracy, "accuracy")):
        for kind, colour in zip(names, (style.ACCENT, style.CONTRAST), strict=False):
            rows = curves[f"curve_{kind}_{measure}"]
            axes.plot(epochs, rows[: style.MAX_SINGLE_CURVES].T, color=colour, lw=0.4, alpha=0.4)
            axes.plot(epochs, np.nanmean(carried(rows), axis=0), color=colour, label=kind)
    loss.set_yscale("log")
    loss.legend()
    loss_and_accuracy(loss, accuracy, "epoch")
    return figure


def loss_and_accuracy(loss: Axes, accuracy: Axes, x: str) -> None:
    """Title and label a panel of losses, and one of accuracies."""
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    style.panel(loss, "a", "loss", x, "loss (nat)")
    style.panel(accuracy, "b", "accuracy", x, "accuracy")


def training_section(ensemble: Ensemble, dataset: Dataset) -> Section:
    """Draw the training curves of some networks, and describe their ends."""
    if not ensemble.n_rows:
        return Section("training", "Training", reason="Needs at least 1 network; there are none.")
    rows = ensemble.column("configuration")[:MAX_CURVES_READ]
    accuracy, loss = ensemble.column("test_accuracy"), ensemble.column("train_loss")
    caption = (
        f"Loss and accuracy of {len(rows):,} networks by epoch: on the training set as means over "
        f"the epoch, on the test set ({len(dataset.test.y):,} examples) at its end; thick lines "
        "are means over networks, thin lines single networks. Mean and standard deviation after "
        f"training: training loss {loss.mean():.4g} ± {loss.std():.2g}, test accuracy "
        f"{accuracy.mean():.4f} ± {accuracy.std():.4f}."
    )
    if ensemble.spec.training.target_loss is not None:
        caption += " Networks stop at the target loss, and enter the means with their last value."
    epochs = np.arange(1, ensemble.spec.training.epochs + 1)
    curves = ensemble.take(rows, [f"curve_{name}" for name in CURVES])
    figure = curves_figure(epochs, curves, ("train", "test"))
    return section("training", "Training", figure, caption, "Training curves.")


@style.styled
def learning_figure(results: Mapping[str, xarray.Dataset]) -> Figure:
    """Draw the mean learning curves of ensembles: of training, and dashed of the test set."""
    figure, (loss, accuracy) = style.panels(2.8, 2)
    for n, (name, result) in enumerate(results.items()):
        label: str | None = style.verbatim(_named(name, result))
        for axes, measure in ((accuracy, "accuracy"), (loss, "loss")):
            for kind, dashes in (("train", "-"), ("test", "--")):
                if (curve := result.get(f"{kind}_{measure}")) is None:
                    continue
                own = label if axes is accuracy else None
                colour = style.curve_colour(n)
                marker = "." if len(curve["epoch"]) <= FEW_EPOCHS else None
                x, y = result["epoch"], curve.mean("network")
                axes.plot(x, y, dashes, color=colour, label=own, marker=marker)
                label = None if own else label
    low, high = loss.dataLim.intervaly
    if low > 0 and high > 10 * low:
        loss.set_yscale("log")
    if len(results) > 1:
        accuracy.legend()
    loss_and_accuracy(loss, accuracy, "epoch")
    return figure


def _named(name: str, result: xarray.Dataset) -> str:
    """Return the name of a result; of a bare number, such as of a width, what it is of."""
    if not name.isdigit():
        return name
    hidden = "-".join(str(width) for width in result.attrs["widths"][1:-1])
    return f"{hidden} hidden units" if hidden else name


def learning_caption(results: Mapping[str, xarray.Dataset]) -> tuple[str, str]:
    """Describe the ends of learning curves, and how much they fluctuate."""
    texts = []
    for name, result in results.items():
        last = result["test_accuracy"].isel(epoch=-1)
        error = float(last.std(ddof=1)) / np.sqrt(len(last)) if len(last) > 1 else np.nan
        fluctuation = result.attrs["fluctuation"]
        text = f"{_named(name, result)}: test accuracy {float(last.mean()):.4f} ± {error:.2g} at "
        text += f"the end, of {result.attrs['networks']:,} networks"
        if np.isfinite(fluctuation):
            text += f", fluctuation {fluctuation:.2g}"
        texts.append(text)
    caption = (
        "Mean loss and accuracy by epoch, on the training set and, dashed, on the test set at its "
        f"end. {'; '.join(texts)}."
    )
    if any(np.isfinite(result.attrs["fluctuation"]) for result in results.values()):
        caption += (
            " On the training set, means during the epoch. Fluctuation: root mean square change of "
            "the test accuracy from epoch to epoch in the second half, less that of the mean."
        )
    return caption, "Learning curves of loss and accuracy, mean over networks."
