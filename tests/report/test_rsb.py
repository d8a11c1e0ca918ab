"""Overlaps of replicas, one system or several in a figure."""

import numpy as np
import pytest

from lsg_ray.report.figures.rsb import rsb_figure
from lsg_ray.statistics.rsb import replica_overlaps


@pytest.mark.parametrize("count", [1, 2, 3])
def test_legend_is_within_the_figure(count):
    spins = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (12, 40))
    system = replica_overlaps(spins, draws=2)
    figure = rsb_figure({f"system {n}": system for n in range(count)})
    figure.draw_without_rendering()
    box, page = figure.legends[0].get_window_extent(), figure.bbox
    assert page.x0 <= box.x0
    assert box.x1 <= page.x1
    assert box.y1 <= min(axes.get_tightbbox().y0 for axes in figure.axes)
