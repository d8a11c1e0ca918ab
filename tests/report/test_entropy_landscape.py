"""Figures and captions of effective models that have one state, or a verdict."""

import numpy as np
import pytest

from lsg_ray.ising.entropy import entropy_scan
from lsg_ray.ising.isoenergy import iso_energy
from lsg_ray.ising.tap import tap_states
from lsg_ray.report.figures.entropy_landscape import (
    iso_caption,
    iso_figure,
    scan_figure,
    tap_caption,
    tap_figure,
)


def single_state():
    """Return the TAP states of independent spins: one, which all starts reach."""
    return tap_states((np.zeros((6, 6)), np.full(6, 0.3)), starts=8)


def test_bar_of_one_state__is_at_its_free_energy():
    states = single_state()
    left, right = tap_figure(states).axes
    full = [bar for bar in left.patches if bar.get_height() > 0]
    assert [bar.get_height() for bar in full] == [8]
    middle = full[0].get_x() + full[0].get_width() / 2
    np.testing.assert_allclose(middle, states["f"].values[0], atol=1e-8)
    (note,) = [text for text in right.texts if text.get_text() == "fewer than two states"]
    assert note.get_bbox_patch() is not None  # the line at the state's own overlap crosses it


def test_caption_counts_points_of_each_kind():
    caption, _ = tap_caption(single_state())
    assert "Distinct points: 1 (stable 1, saddles 0, undetermined 0)." in caption


def test_verdict_at_constant_energy__has_its_criterion():
    couplings, sigma = np.full((6, 6), 0.05) - 0.05 * np.eye(6), [[1, 1, 1, 1, -1, 1]]
    curve = iso_energy((couplings, np.full(6, 0.3)), sigma, np.linspace(-1, 1, 5))
    caption, _ = iso_caption(curve)
    assert f"({curve.attrs['verdict']}). Criterion: {curve.attrs['criterion']}." in caption
    assert "inverse temperature" in iso_figure(curve).axes[1].get_title("left")


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_entropy_that_is_not_known__is_said_to_be(share):
    couplings, sigma = np.full((6, 6), 0.05) - 0.05 * np.eye(6), [[1, 1, 1, 1, -1, 1]]
    scan = entropy_scan((couplings, np.full(6, 0.3)), sigma, fields=[-1.0, 0.0, 1.0])
    scan["converged"] = scan["converged"] * bool(share)
    scan["s"] = scan["s"].where(scan["converged"])
    texts = [text.get_text() for text in scan_figure({"full": scan}).axes[1].texts]
    assert ("not converged" in texts) == (share == 0)
