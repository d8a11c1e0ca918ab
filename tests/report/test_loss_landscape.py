"""Figures and captions of paths between solutions."""

import numpy as np
import xarray

from lsg_ray.report.figures.loss_landscape import interpolation_caption, interpolation_figure


def make_paths(barrier, *kinds):
    """Return a result of two pairs; of several alignments as a dimension."""
    lead = {"alignment": len(kinds)} if len(kinds) > 1 else {}
    shape = {**lead, "pair": 2, "alpha": 3}
    curves = {
        f"{part}_{measure}": (tuple(shape), np.ones(tuple(shape.values())))
        for part in ("train", "test")
        for measure in ("loss", "accuracy")
    }
    ends = (*lead, "pair"), np.full((*lead.values(), 2), barrier)
    coords = {"alpha": [0.0, 0.5, 1.0]} | ({"alignment": list(kinds)} if lead else {})
    attrs = {} if lead else {"alignment": kinds[0]}
    return xarray.Dataset(
        {**curves, "train_barrier": ends, "distance": ends}, coords=coords, attrs=attrs
    )


def names(results):
    legend = interpolation_figure(results).axes[1].get_legend()
    return [text.get_text() for text in legend.get_texts()]


def test_paths_are_named_by_alignment():
    results = {"as-is": make_paths(0.5, "none"), "matched": make_paths(0.1, "matching")}
    assert names(results) == ["none", "matching"]
    assert names({"all": make_paths(0.5, "none", "matching")}) == ["none", "matching"]


def test_paths_of_equal_alignment_are_named_by_step():
    results = {"early": make_paths(0.5, "none"), "late": make_paths(0.7, "none")}
    assert names(results) == ["early", "late"]
    caption, _ = interpolation_caption(results)
    assert "early 0.5 ± 0 (distance 0.5); late 0.7 ± 0 (distance 0.7)." in caption
    several = {"a": make_paths(0.5, "none", "matching"), "b": make_paths(0.7, "none")}
    assert names(several) == ["a, none", "a, matching", "b"]
