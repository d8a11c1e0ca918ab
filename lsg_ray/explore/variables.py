"""The variables of a result: curves and images along chosen dimensions, sliders for the others."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import param
import xarray

from lsg_ray.errors import InputError
from lsg_ray.explore.panes import column, failure, row, text
from lsg_ray.explore.plots import HEIGHT, SQUARE, TALL, curve, heat_map, label, pane
from lsg_ray.typing import Array

#: Values that are read for a plot, at most.
MAX_VALUES = 50_000_000
#: Entries along both of two dimensions from which on they are drawn as an image.
MIN_SIDE = 8
#: What stands for no second dimension, and for all parts of a network.
NONE, ALL = "none", "all"


class Slice(param.Parameterized):
    """Which values of a result are shown.

    Parameters
    ----------
    result
        Result whose variables are shown.
    """

    variable = param.Selector(objects=[""])
    across = param.Selector(objects=[NONE], label="x axis")
    down = param.Selector(objects=[NONE], label="y axis")
    part = param.Selector(objects=[ALL])
    at = param.Dict(default={})

    def __init__(self, result: xarray.Dataset) -> None:
        super().__init__()
        self.result = result
        names = [str(name) for name, values in result.data_vars.items() if _is_shown(values)]
        if not names:
            raise InputError("this result has no numbers along a dimension")
        self.param.variable.objects = names
        self.param.part.objects = [ALL, *_parts(result)]
        self.variable = names[0]
        self.choose()

    @param.depends("variable", watch=True)
    def choose(self) -> None:
        """Choose dimensions of another variable: the last, or the last two of a matrix."""
        dims = [str(dim) for dim in self.values.dims]
        square = len(dims) > 1 and dims[-1] == f"{dims[-2]}_"
        square |= len(dims) == 2 and min(self.values.shape) >= MIN_SIDE
        self.param.across.objects = dims
        self.param.down.objects = [NONE, *dims]
        self.param.update(across=dims[-1], down=dims[-2] if square else NONE, at={})

    @property
    def values(self) -> xarray.DataArray:
        """The variable, not read yet."""
        return self.result[self.variable]

    def others(self) -> list[str]:
        """Return the dimensions that sliders choose from."""
        return [str(d) for d in self.values.dims if str(d) not in (self.across, self.down)]

    def chosen(self) -> xarray.DataArray:
        """Read what is shown: one or two dimensions.

        Raises
        ------
        InputError
            It is too large, or not what the result says it is.
        """
        values = self.values
        if self.part != ALL:
            inside = np.flatnonzero(self.result["part"].values.astype(str) == self.part)
            along = {d: inside for d in values.dims if str(d).removesuffix("_") == "weight"}
            values = values.isel(along)
        at = {d: min(int(self.at.get(d, 0)), values.sizes[d] - 1) for d in self.others()}
        values = values.isel(at)
        if values.size > MAX_VALUES:
            raise InputError(f"{values.size:,} values; at most {MAX_VALUES:,} are drawn")
        order = [d for d in (self.down, self.across) if d in values.dims]
        return values.transpose(*order).load()

    def plot(self) -> Any:
        """Return what is chosen as a curve or an image."""
        values = self.chosen()
        numbers = values.values.astype(np.float64)
        x = _along(values, self.across)
        if values.ndim == 2:
            return heat_map(numbers, self.across, self.down, label(values))
        return curve(x, numbers, _axis(values, self.across), label(values))

    def panel(self) -> Any:
        """Return choices and plot."""
        shown, sliders = column(), row()

        def draw(*_: Any) -> None:
            try:
                values = self.plot()
                is_image = isinstance(values, hv.Image)
                square = is_image and self.across.removesuffix("_") == self.down.removesuffix("_")
                height = TALL if is_image else HEIGHT
                shown[:] = [pane(values, height, SQUARE if square else None)]
            except (InputError, MemoryError) as error:
                shown[:] = [failure(error)]

        def slide(*_: Any) -> None:
            made = []
            for name in self.others():
                size = self.values.sizes[name]
                if size > 1:
                    slider = pn.widgets.IntSlider(
                        label=name, start=0, end=size - 1, value=int(self.at.get(name, 0))
                    )
                    slider.param.watch(self._slid(name), "value_throttled")
                    made.append(slider)
            sliders[:] = made
            draw()

        self.param.watch(slide, ["variable", "across", "down"])
        self.param.watch(draw, ["at", "part"])
        slide()
        menus = [self.param.variable, self.param.across, self.param.down]
        if len(self.param.part.objects) > 1:
            menus.append(self.param.part)
        boxes = (pn.widgets.Select.from_param(one, width=180) for one in menus)
        about = self.values.attrs.get("long_name")
        return column(row(*boxes), sliders, *([text(about)] if about else []), shown)

    def _slid(self, name: str) -> Any:
        def set_at(event: Any) -> None:
            self.at = {**self.at, name: event.new}

        return set_at


def _is_shown(values: xarray.DataArray) -> bool:
    return values.ndim > 0 and values.size > 0 and values.dtype.kind in "biuf"


def _parts(result: xarray.Dataset) -> list[str]:
    if "part" not in result.coords or result["part"].ndim != 1:
        return []
    return list(dict.fromkeys(result["part"].values.astype(str).tolist()))[:20]


def _along(values: xarray.DataArray, name: str) -> Array:
    """Return the coordinate of a dimension where it has numbers, else places from 0."""
    if name in values.coords and values[name].dtype.kind in "iuf":
        return values[name].values
    return np.arange(values.sizes[name])


def _axis(values: xarray.DataArray, name: str) -> str:
    return label(values[name]) if name in values.coords else name
