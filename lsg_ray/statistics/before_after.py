"""Distances between configurations before and after removal of node-permutation symmetry."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.ensemble.schema import pack
from lsg_ray.errors import InputError
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.statistics.configurations import Configurations, StoredConfigurations
from lsg_ray.statistics.distances import distances
from lsg_ray.statistics.findings import node_distances_findings
from lsg_ray.statistics.node_symmetry import canonical_view, label_inputs, node_symmetry
from lsg_ray.statistics.pairs import choose_rows
from lsg_ray.statistics.views import Packed
from lsg_ray.typing import Progress, Seed, Several

#: Configurations that are compared by default: 2·10⁸ pairs.
DEFAULT_CONFIGURATIONS = 20_000


def symmetry_effect(
    ensemble: Ensemble,
    *,
    configurations: Several = DEFAULT_CONFIGURATIONS,
    seed: Seed = 0,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Compare the distances of configurations as sampled with those of their canonical forms.

    Parameters
    ----------
    ensemble
        At least two whole configurations.
    configurations
        Largest number of configurations to compare, drawn without replacement.
    seed
        Seed of the draw.

    Returns
    -------
    xarray.Dataset
        Over ``form`` (sampled, canonical; sampled alone where there is no hidden layer): ``pairs``
        (form, distance) with coordinate ``d``; ``mean``, ``mean_stderr``, ``std``, ``std_stderr``
        of d (form, part), part being ``all`` and the network's parts.  ``random`` (distance) and
        ``random_std`` (part) of random weights.  Attributes: the counts of `node_symmetry`.
    """
    if not ensemble.signs:
        raise InputError(f"{ensemble.url}: holds networks of real weights; use cluster for those")
    source = StoredConfigurations(ensemble)
    network = ensemble.spec.network
    chosen = choose_rows(source, min(configurations, max(source.n_rows, 2)), seed)
    forms: dict[str, Configurations] = {"sampled": chosen}
    attributes: dict[str, Any] = {}
    if len(network.widths) > 2:
        inputs = label_inputs(ensemble)
        labels = node_symmetry(chosen, network=network, inputs=inputs, progress=progress)
        names = ("distinct_labels", "distinct_forms", "permutation_dependent_pairs")
        attributes = {name: labels.attrs[name] for name in (*names, "log_group_order")}
        view = canonical_view(chosen, network=network, inputs=inputs)
        bits = pack(view.rows(0, view.n_rows))
        forms["canonical"] = Packed(bits, view.n_weights, view.name, view.groups())
    parts = {"all": slice(0, network.n_weights), **network.parts}
    averages = ("mean", "mean_stderr", "std", "std_stderr")
    table = np.empty((len(forms), len(parts), len(averages)))
    pairs = np.empty((len(forms), network.n_weights + 1), np.int64)
    for i, form in enumerate(forms.values()):
        signs = form.rows(0, form.n_rows)
        for j, weights in enumerate(parts.values()):
            result = distances(signs[:, weights])
            table[i, j] = [result.attrs[name] for name in averages]
            if j == 0:
                pairs[i] = result["pairs"].values
                random = result["random"].values
    sizes = np.array([weights.stop - weights.start for weights in parts.values()])
    unit = {"units": "1"}
    about = {"long_name": "pairs of configurations", **unit}
    return xarray.Dataset(
        {
            "pairs": (("form", "distance"), pairs, about),
            "random": ("distance", random, unit),
            "random_std": ("part", 0.5 / np.sqrt(sizes), unit),
            **{name: (("form", "part"), table[:, :, k], unit) for k, name in enumerate(averages)},
        },
        {
            "form": list(forms),
            "part": list(parts),
            "distance": np.arange(network.n_weights + 1),
            "d": ("distance", np.arange(network.n_weights + 1) / network.n_weights),
        },
        {
            "statistic": "distances before and after removal of node symmetry",
            **source.provenance(),
            **attributes,
            "configurations": chosen.n_rows,
            "seed": seed,
        },
    )


def _shown(result: xarray.Dataset) -> dict[str, Any]:
    means = result["mean"].sel(part="all")
    by_form = {f"mean_{form}": float(means.sel(form=form)) for form in result["form"].values}
    return {"configurations": result.attrs["configurations"], **by_form}


STAGE = Stage(
    "node-distances",
    symmetry_effect,
    reads={"ensemble": ENSEMBLE},
    summary=_shown,
    findings=node_distances_findings,
    figures=[
        Figure(
            "lsg_ray.report.figures.distances:distances_figure",
            "Distances and node symmetry",
            "distances_caption",
        )
    ],
)
