"""A model: J and h, and its entropy landscape, which follows sliders of x, β and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import param
from holoviews.streams import Pipe

from lsg_ray.errors import InputError, LsgError
from lsg_ray.explore.live import Live, References, Solution, nearest_to, references_of
from lsg_ray.explore.panes import column, facts, failure, heading, later, row, rows, text
from lsg_ray.explore.places import Place, beside
from lsg_ray.explore.plots import HEIGHT, SQUARE, TALL, curve, curves, heat_map, pane
from lsg_ray.explore.results import quoted
from lsg_ray.explore.view import View
from lsg_ray.ising.model import IsingModel, load_model
from lsg_ray.report.style import CONTRAST
from lsg_ray.typing import Floats, Signs


class ModelView(View):
    """What is shown of a model."""

    key, title = "model", "Model"
    linked = ("store", "x", "beta", "rank")
    x = param.Number(default=0.0, bounds=(-3, 3), step=0.05, label="x, field towards the reference")
    beta = param.Number(default=1.0, bounds=(0.05, 3), step=0.05, label="β")
    store = param.String(default="", label="References of")
    rank = param.Integer(default=0, bounds=(0, None), label="Reference, by energy")

    def __init__(self, place: Place, places: Sequence[Place]) -> None:
        super().__init__(place, places)
        self.stores = beside(place, places, "store")
        self.store = next(iter(self.stores), "")
        self.model: IsingModel | None = None
        self.live: Live | None = None
        self.references: References | None = None
        self._why = ""
        self._numbers = column()
        self._point, self._m = Pipe(data=[]), Pipe(data=np.zeros(1))
        self._curve = column()

    @classmethod
    def fits(cls, place: Place) -> bool:
        """Return whether it is a model."""
        return place.kind == "model"

    def panel(self) -> Any:
        """Return J, h, sliders and what follows them."""
        return column(heading(self.place.name), later(self.load, self._shown, "Reading the model"))

    def load(self) -> IsingModel:
        """Read the model, and its references of the store beside it."""
        self.model = model = load_model(self.place.url)
        try:
            self.live = Live(model)
            if self.store in self.stores:
                self.references = references_of(model, self.stores[self.store].ensemble())
        except InputError as error:
            self._why = str(error)
        return model

    def reference(self) -> Signs:
        """Return the reference (N,) ±1: of the rank by energy, or signs of h."""
        assert self.model is not None
        if self.references is None:
            return np.where(self.model.h < 0, -1, 1).astype(np.int8)
        return self.references.sigma[min(self.rank, len(self.references.sigma) - 1)]

    def _shown(self, model: IsingModel) -> Any:
        parts = [] if model.part is None else list(dict.fromkeys(model.part.tolist()))
        about = text(f"{model.n_spins:,} spins{', of ' if parts else ''}{', '.join(parts)}.")
        numbers = np.arange(model.n_spins)
        matrix = column(
            pane(heat_map(np.asarray(model.J), "weight", "weight", "J (nat)"), TALL, SQUARE),
            pane(curve(numbers, model.h, "weight", "h (nat)")),
        )
        if self.live is None:
            return column(about, text(self._why), matrix)
        return column(about, *([text(self._why)] if self._why else []), self._sliders(), matrix)

    def _sliders(self) -> Any:
        most = 0 if self.references is None else len(self.references.sigma) - 1
        self.param.rank.bounds = (0, max(most, self.rank))
        wide: dict[str, Any] = {"width": 280}
        x = pn.widgets.FloatSlider.from_param(self.param.x, **wide)
        beta = pn.widgets.FloatSlider.from_param(self.param.beta, throttled=True, **wide)
        sliders = [x, beta]
        if most:
            rank = pn.widgets.IntSlider.from_param(self.param.rank, throttled=True, **wide)
            rank.end = most
            sliders.append(rank)
        point = hv.DynamicMap(_point, streams=[self._point])
        magnetizations = hv.DynamicMap(_magnetizations, streams=[self._m])
        self._point_plot = point
        self.param.watch(lambda *_: self._follow(), ["x", "beta", "rank"])
        self.param.watch(lambda *_: self._draw_curve(), ["beta", "rank"])
        self._follow()
        self._draw_curve()
        return column(
            row(*sliders), self._curve, pane(magnetizations.opts(height=HEIGHT)), self._numbers
        )

    def _follow(self) -> None:
        """Solve at the sliders, and show it."""
        try:
            found = self.solution()
        except (LsgError, MemoryError) as error:
            self._numbers[:] = [failure(error)]
            return
        self._point.send([found])
        self._m.send(np.sort(found.m))
        panes = [facts("At the sliders", described(found))]
        if self.references is not None:
            panes.append(
                rows(nearest_to(found.m, self.references), "Nearest stored configurations")
            )
            number = self.references.numbers[min(self.rank, len(self.references.numbers) - 1)]
            panes.insert(0, text(f"The reference is configuration {number:,}."))
        self._numbers[:] = panes

    def solution(self) -> Solution:
        """Solve at the sliders."""
        assert self.live is not None
        return self.live.at(self.x, self.beta, self.reference())

    def _draw_curve(self) -> None:
        assert self.live is not None
        live, beta, reference = self.live, self.beta, self.reference()

        def show(ways: tuple[list[Solution], list[Solution]]) -> Any:
            lines = {
                name: (np.array([one.d for one in way]), possible(way))
                for name, way in zip(("x upwards", "x downwards"), ways, strict=True)
            }
            plot = curves(lines, "distance d from the reference", "entropy s (nat per weight)")
            both = (plot * self._point_plot).opts(height=HEIGHT, legend_position="top")
            left_out = sum(int(np.isnan(s).sum()) for _, s in lines.values())
            total = sum(len(s) for _, s in lines.values())
            gaps = f"Left out: {left_out} of {total} solutions, which are unstable or impossible."
            return column(pane(both), *([text(gaps)] if left_out else []))

        self._curve[:] = [later(lambda: live.curve(beta, reference), show, "Computing s(d)")]

    def as_python(self) -> str:
        """Return Python that computes s(d) around the same kind of references."""
        references = self.stores[self.store].url if self.store in self.stores else "STORE"
        return (
            f"import lsg_ray\n\nmodel = lsg_ray.load_model({self.url!r})\n"
            f"scan = lsg_ray.entropy_scan(model, {references!r}, [{self.x:g}], beta={self.beta:g})"
        )

    def as_command(self) -> str:
        """Return the command that does."""
        references = self.stores[self.store].url if self.store in self.stores else "STORE"
        return (
            f"lsg scan {quoted(self.url)} --references {quoted(references)} --fields={self.x:g} "
            f"--beta {self.beta:g} --out scan.zarr"
        )


def described(found: Solution) -> dict[str, object]:
    """Return a solution as names and values, with what it is worth."""
    worth = "a minimum of the free energy, with a possible entropy"
    if not found.converged:
        worth = "not converged: these are the last messages"
    elif not found.stable:
        worth = "no minimum of the free energy, or an impossible entropy"
    return {
        "distance d": found.d,
        "entropy s (nat)": found.s,
        "energy e (nat)": found.e,
        "free energy f (nat)": found.f,
        "solution": worth,
    }


def possible(way: list[Solution]) -> Floats:
    """Return the entropies of solutions; NaN where one is not converged, or not stable."""
    return np.array([one.s if one.converged and one.stable else np.nan for one in way])


def _point(data: list[Solution]) -> Any:
    at = [(one.d, one.s) for one in data]
    return hv.Points(at, ["x", "y"]).opts(color=CONTRAST, size=11, marker="diamond")


def _magnetizations(data: Any) -> Any:
    return curve(np.arange(len(data)), data, "weight, in ascending order of m", "m(x)").opts(
        ylim=(-1.05, 1.05)
    )
