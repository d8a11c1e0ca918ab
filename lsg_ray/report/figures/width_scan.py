"""Training and test errors over the width of networks."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lsg_ray.report import style


@style.styled
def width_figure(scan: xarray.Dataset) -> Figure:
    """Draw errors and losses over the width, with bands of a standard deviation."""
    figure, (error, loss) = style.panels(2.6, 2)
    fitted = int(scan.attrs["fitted_from"])
    for axes, measure in ((error, "error"), (loss, "loss")):
        for kind, colour in (("train", style.ACCENT), ("test", style.CONTRAST)):
            rows = scan[f"{kind}_{measure}"].values.T
            style.band(axes, scan["width"].values, rows, colour, kind)
        if fitted:
            axes.axvline(fitted, color=style.GREY, lw=0.8, ls=style.DASHED, zorder=0)
        _mark(axes, scan, measure)
    error.legend()
    error.set_ylim(bottom=0)
    unit = scan["test_loss"].attrs["units"]
    style.panel(error, "a", "error", "width of hidden layers d", "share of wrong answers")
    style.panel(loss, "b", "loss", "width of hidden layers d", f"loss ({unit})")
    return figure


def _mark(axes: Axes, scan: xarray.Dataset, measure: str) -> None:
    """Mark the peak of the test curve, if it is one by two standard errors."""
    height, error = (float(scan.attrs[f"peak_{measure}{end}"]) for end in ("", "_stderr"))
    if height > 2 * error > 0:
        width = int(scan.attrs[f"peak_{measure}_width"])
        top = float(scan[f"test_{measure}"].sel(width=width).mean())
        axes.plot([width], [top], "v", color=style.INK, ms=5)


def width_caption(scan: xarray.Dataset) -> tuple[str, str]:
    """Describe the fit of the training set, and peaks of test error and test loss."""
    about = scan.attrs
    widths = scan["width"].values
    fitted = int(about["fitted_from"])
    found = (
        f"The training error is below 1 % from width {fitted} (dashed line)."
        if fitted
        else "The training error is above 1 % at all widths."
    )
    peaks = []
    for measure in ("error", "loss"):
        height, error = float(about[f"peak_{measure}"]), float(about[f"peak_{measure}_stderr"])
        if not np.isfinite(height):
            said = "unknown (three widths, and finite losses, are needed)"
        elif height > 2 * error > 0:
            said = f"{height:.3g} ± {error:.2g} at width {int(about[f'peak_{measure}_width'])}"
        else:
            said = f"{height:.2g} ± {error:.2g}: none by two standard errors"
        peaks.append(f"of the test {measure} {said}")
    caption = (
        f"Errors and losses of {scan.sizes['network']} networks of each width from {widths[0]} to "
        f"{widths[-1]}, trained on {int(about['n_train']):,} examples: means, and bands of one "
        f"standard deviation. {found} Prominence of the peak, chosen by the other networks and "
        f"measured on each: {'; '.join(peaks)}."
    )
    return caption, "Training and test error, and loss, over the width of hidden layers."
