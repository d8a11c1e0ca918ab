"""Models as graphs and as binary quadratic models: ``.graphml`` (networkx), ``.bqm`` (dimod).

dimod's energy is E = Σ_i h_i s_i + Σ_{i<j} J_ij s_i s_j, of the opposite sign to that of this
package: signs change in conversion, and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.errors import InputError
from lsg_ray.exchange.format import Format, library
from lsg_ray.ising.model import IsingModel, as_model
from lsg_ray.results.foreign import reading
from lsg_ray.results.opening import require_file
from lsg_ray.typing import ModelLike, NonNegative

if TYPE_CHECKING:
    import dimod
    import networkx

#: Largest number of spins of a model that is read: it has N² couplings.
MAX_SPINS = 20_000


@public
def to_networkx(model: ModelLike, *, cutoff: NonNegative | int = 0) -> networkx.Graph:
    """Return the couplings of a model as a graph.

    Parameters
    ----------
    model
        Model: `IsingModel`, path, or (J, h).
    cutoff
        Largest magnitude, in nats, of couplings that are left out.

    Returns
    -------
    networkx.Graph
        A node for each spin, 0 to N − 1, with ``field``, and ``part`` and ``weight`` where they are
        known; an edge with ``coupling`` for each |J_ij| above the cut-off.

    Raises
    ------
    InputError
        networkx is not installed.
    """
    networkx_ = library("networkx", "a graph of a model")
    ising = as_model(model)
    graph: networkx.Graph = networkx_.Graph()
    for spin, field in enumerate(ising.h.tolist()):
        attributes: dict[str, object] = {"field": field}
        if ising.part is not None:
            attributes["part"] = str(ising.part[spin])
        if ising.weight is not None:
            attributes["weight"] = int(ising.weight[spin])
        graph.add_node(spin, **attributes)
    row, column = np.nonzero(np.triu(np.abs(ising.J) > cutoff, 1))
    for i, j, value in zip(
        row.tolist(), column.tolist(), ising.J[row, column].tolist(), strict=True
    ):
        graph.add_edge(i, j, coupling=value)
    return graph


@public
def to_bqm(model: ModelLike) -> dimod.BinaryQuadraticModel:
    """Return a model as a binary quadratic model of dimod, of spins 0 to N − 1.

    Parameters
    ----------
    model
        Model: `IsingModel`, path, or (J, h).

    Raises
    ------
    InputError
        dimod is not installed.
    """
    dimod_ = library("dimod", "a binary quadratic model")
    ising = as_model(model)
    bqm: dimod.BinaryQuadraticModel = dimod_.BinaryQuadraticModel(ising.n_spins, "SPIN")
    bqm.add_linear_from(dict(enumerate((-ising.h).tolist())))
    row, column = np.nonzero(np.triu(ising.J, 1))
    bqm.add_quadratic_from(
        zip(row.tolist(), column.tolist(), (-ising.J[row, column]).tolist(), strict=True)
    )
    return bqm


@public
def from_bqm(bqm: dimod.BinaryQuadraticModel) -> IsingModel:
    """Return a binary quadratic model of dimod as a model; its offset is no part of one.

    Parameters
    ----------
    bqm
        Binary quadratic model of spins, or of variables 0 and 1, which become spins s = 2 x − 1;
        spins are numbered in the order of its variables.

    Raises
    ------
    InputError
        It has no variables, or too many.
    """
    if not 0 < bqm.num_variables <= MAX_SPINS:
        raise InputError(f"{bqm.num_variables:,} variables given; from 1 to {MAX_SPINS:,}")
    spins = bqm.spin
    index = {name: spin for spin, name in enumerate(spins.variables)}
    J, h = np.zeros((len(index), len(index))), np.zeros(len(index))
    for name, bias in spins.iter_linear():
        h[index[name]] = -bias
    for first, second, bias in spins.iter_quadratic():
        J[index[first], index[second]] = J[index[second], index[first]] = -bias
    return IsingModel(J + 0.0, h + 0.0)


def write_graphml(model: IsingModel, path: Path, cutoff: float) -> None:
    """Write the graph of couplings."""
    graph = to_networkx(model, cutoff=cutoff)
    library("networkx", "writing .graphml").write_graphml(graph, path)


def write_bqm(model: IsingModel, path: Path, cutoff: float) -> None:
    """Write dimod's own format."""
    J = np.where(np.abs(model.J) > cutoff, model.J, 0.0)
    with to_bqm((J, model.h)).to_file() as stream, open(path, "xb") as file:
        stream.seek(0)
        while data := stream.read(2**20):
            file.write(data)


def read_bqm(path: Path) -> IsingModel:
    """Read dimod's own format."""
    dimod_ = library("dimod", f"{path}: reading .bqm")
    require_file(path)
    failed = "no binary quadratic model of dimod"
    with reading(str(path), failed, "write it again by to_file"), open(path, "rb") as file:
        return from_bqm(dimod_.BinaryQuadraticModel.from_file(file))


GRAPHML = Format("graphml", "a graph of couplings", write_model=write_graphml, library="networkx")
BQM = Format(
    "bqm", "a binary quadratic model", read_model=read_bqm, write_model=write_bqm, library="dimod"
)
