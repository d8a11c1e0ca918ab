"""Map of starts and learned configurations."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from lsg_ray.errors import InputError
from lsg_ray.report import style


@style.styled
def map_figure(map_: xarray.Dataset, color: str | None = None) -> Figure:
    """Draw a map: starts as open grey circles, learned configurations coloured by a column.

    Parameters
    ----------
    map_
        Result of `lsg_ray.statistics.maps.embed`.
    color
        Column of the map that sets the colours; by default that of its attributes, or accuracy.

    Raises
    ------
    InputError
        The map has no such column.
    """
    color = color or str(map_.attrs.get("color", "accuracy"))
    if color not in map_:
        raise InputError(
            f"color {color!r} given; the map has {', '.join(map(str, map_.data_vars))}"
        )
    x, y, values = (map_[name].values for name in ("x", "y", color))
    learned = map_["learned"].values.astype(bool)
    size = float(np.clip(9000 / len(x), 0.5, 40))
    figure, (axes,) = style.panels(4.3, 1, width=5.0)
    if not learned.all():
        number = map_.attrs.get("distinct_starts", np.count_nonzero(~learned))
        label = f"starts ({number:,})"
        axes.scatter(
            x[~learned],
            y[~learned],
            size,
            facecolors="none",
            edgecolors=style.GREY,
            linewidths=0.8,
            label=label,
        )
    label, colours = f"learned ({np.count_nonzero(learned):,})", style.accuracy_colours()
    points = axes.scatter(
        x[learned], y[learned], size, values[learned], cmap=colours, linewidths=0, label=label
    )
    if map_.attrs.get("method") == "pca":
        for number, share in enumerate(map_.attrs["explained_variance_ratio"]):
            label = f"component {number + 1} ({100 * share:.2g} % of the variance)"
            (axes.set_ylabel if number else axes.set_xlabel)(label)
    else:
        axes.set(xlabel="t-SNE 1 (arbitrary units)", ylabel="t-SNE 2 (arbitrary units)")
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", "box")
    axes.spines[:].set_visible(True)
    label = f"{color.replace('_', ' ')} of learned configurations"
    style.colour_bar(points, axes, label, 6, aspect=25, pad=0.02)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def map_caption(map_: xarray.Dataset) -> tuple[str, str]:
    """Describe what the map is made of, and what its axes mean."""
    about = map_.attrs
    learned = int(map_["learned"].values.sum())
    method, meaning = "Principal components", ""
    if about.get("method") != "pca":
        meaning = " Only neighbourhoods have a meaning, the axes have none."
        method = (
            f"t-SNE (perplexity {about['perplexity']:.3g}, Kullback–Leibler divergence "
            f"{about['kl_divergence']:.3g})"
        )
    starts = ""
    if not map_["learned"].values.all():
        starts = (
            ", and of their starts: where training began, or a configuration drawn from its "
            "initial fields"
        )
        distinct = about.get("distinct_starts", learned)
        if distinct < learned:
            starts += f" ({distinct:,} of them distinct, as related networks have one)"
    caption = (
        f"{method} of {learned:,} learned configurations, coloured by "
        f"{str(about.get('color', 'accuracy')).replace('_', ' ')}"
        f"{starts}. For ±1 weights, squared Euclidean "
        f"distance is four times the Hamming distance.{meaning}"
    )
    among = " among as many starts" if starts else ""
    return caption, f"Scatter plot of {learned:,} learned configurations{among}."
