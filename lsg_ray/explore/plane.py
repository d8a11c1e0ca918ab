"""The loss on a plane through a network, whose directions are chosen and turned with sliders."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import param
from holoviews.streams import Pipe

from lsg_ray.errors import LsgError
from lsg_ray.explore.inputs import with_data
from lsg_ray.explore.loss_plane import EXAMPLES, RANDOM, LossPlane, Surface, plane_of
from lsg_ray.explore.panes import READER, column, facts, failure, heading, row, text
from lsg_ray.explore.places import Place
from lsg_ray.explore.plots import SQUARE
from lsg_ray.explore.results import quoted
from lsg_ray.explore.view import View
from lsg_ray.report.style import CONTRAST

#: Names of the networks of a plane, and parameters of their numbers.
NAMES = ("w₀", "1", "2", "3")
NUMBERS = ("centre", "first", "second", "third")


class PlaneView(View):
    """What is shown of the loss around the networks of a store."""

    key, title = "plane", "Loss plane"
    linked = (*NUMBERS, "angle", "extent")
    centre = param.Integer(default=0, bounds=(0, None), label="Centre w₀")
    first = param.Integer(default=1, bounds=(RANDOM, None), label="Direction 1")
    second = param.Integer(default=RANDOM, bounds=(RANDOM, None), label="Direction 2")
    third = param.Integer(default=RANDOM, bounds=(RANDOM, None), label="Direction 3")
    angle = param.Integer(default=0, bounds=(0, 180), label="Angle from direction 2 to 3 (°)")
    extent = param.Number(default=1.5, bounds=(0.1, 5), step=0.1, label="Extent")

    def __init__(self, place: Place, places: Sequence[Place]) -> None:
        super().__init__(place, places)
        self.plane: LossPlane | None = None
        self._asked, self._busy = 0, False
        self._found, self._about = Pipe(data=None), column()

    @classmethod
    def fits(cls, place: Place) -> bool:
        """Return whether it is a store of networks whose loss is known."""
        if place.kind != "store":
            return False
        try:
            return place.ensemble().header.family.differentiable
        except LsgError:  # a view that it does fit says what is wrong
            return False

    def panel(self) -> Any:
        """Return the choice of the plane, and the loss on it."""
        spec = self.place.ensemble().spec.dataset
        return column(
            heading(self.place.name),
            with_data(spec, self.measured, self._shown, "Reading the data, computing the loss"),
        )

    def measured(self) -> Surface:
        """Compute the loss at the sliders; what does not change with them is computed once."""
        plane = self.plane
        if plane is None:
            others = [getattr(self, name) for name in NUMBERS[1:]]
            self.plane = plane = plane_of(self.place.ensemble(), self.centre, others)
        return plane.surface(np.deg2rad(self.angle), self.extent)

    def _shown(self, first: Surface) -> Any:
        numbers = [pn.widgets.IntInput.from_param(self.param[name], width=120) for name in NUMBERS]
        sliders = [
            pn.widgets.IntSlider.from_param(self.param.angle, width=260),
            pn.widgets.FloatSlider.from_param(self.param.extent, width=260, end=3.0),
        ]
        self._found.send(first)
        self._describe(first)
        self.param.watch(self._renew, list(NUMBERS))
        self.param.watch(self._follow, ["angle", "extent"])
        plot = hv.DynamicMap(_drawn, streams=[self._found])
        return column(
            row(*numbers),
            text(f"Numbers of configurations; {RANDOM} is a random direction."),
            row(*sliders),
            pn.pane.HoloViews(plot, sizing_mode="stretch_width", height=SQUARE, max_width=SQUARE,
                              linked_axes=False),
            self._about,
        )  # fmt: skip

    async def _renew(self, *_: Any) -> None:
        self.plane = None
        await self._follow()

    async def _follow(self, *_: Any) -> None:
        """Compute the loss on a thread, a plane at a time; of those asked for since, the last."""
        self._asked += 1
        if self._busy:
            return
        self._busy, loop = True, asyncio.get_running_loop()
        try:
            shown = 0
            while shown != self._asked:
                shown = self._asked
                found = await loop.run_in_executor(READER, self.measured)
                self._found.send(found)
                self._describe(found)
        except (LsgError, MemoryError) as error:
            self._about[:] = [failure(error)]
        finally:
            self._busy = False

    def _describe(self, found: Surface) -> None:
        middle = len(found.a) // 2
        about: dict[str, object] = {
            "loss at w₀ (nat)": float(found.loss[middle, middle]),
            "lowest on the plane": float(found.loss.min()),
            "highest on the plane": float(found.loss.max()),
            "examples": f"{EXAMPLES} at most, of the training set",
        }
        self._about[:] = [facts("Loss on this plane", about)]

    def as_python(self) -> str:
        """Return Python that computes this plane."""
        others = [getattr(self, name) for name in NUMBERS[1:]]
        return (
            "import math\n\nimport lsg_ray\nfrom lsg_ray.explore.loss_plane import plane_of\n\n"
            f"plane = plane_of(lsg_ray.open_ensemble({self.url!r}), {self.centre}, {others})\n"
            f"plane.surface(math.radians({self.angle}), {self.extent:g}).loss"
        )

    def as_command(self) -> str:
        """Return the command of a plane through the same network, in random directions."""
        return f"lsg surface {quoted(self.url)} --configuration {self.centre} --out surface.zarr"


def _drawn(data: Surface | None) -> Any:
    """Return the loss as colours, ln L, and the networks on it."""
    if data is None:
        return hv.Overlay([])
    a, b = data.a, data.b
    half = (a[1] - a[0]) / 2
    bounds = (a[0] - half, b[0] - half, a[-1] + half, b[-1] + half)
    values = np.log10(np.maximum(data.loss, 1e-12))
    image = hv.Image(values[::-1], bounds=bounds, kdims=["x", "y"], vdims=["loss"]).opts(
        cmap="viridis", colorbar=True, responsive=True, height=SQUARE, toolbar="above",
        tools=["hover"], clabel="log₁₀ loss (nat)", xlabel="distance along direction 1",
        ylabel="distance across it", framewise=True,
    )  # fmt: skip
    inside = (np.abs(data.places) <= bounds[2]).all(axis=1)
    shown = [(x, y, name) for (x, y), name, kept
             in zip(data.places, NAMES, inside, strict=True) if kept]  # fmt: skip
    points = hv.Points([one[:2] for one in shown], ["x", "y"]).opts(
        color=CONTRAST, size=10, marker="x", line_width=3
    )
    names = hv.Labels(shown, ["x", "y"], "name").opts(
        text_color="white", xoffset=3 * half / 2, yoffset=3 * half / 2
    )
    return image * points * names
