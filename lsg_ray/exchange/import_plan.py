"""Plan of an import: the specification, the columns, and what is computed on a data set."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lsg_ray.arrays import as_integers
from lsg_ray.datasets import Dataset, load_dataset
from lsg_ray.ensemble.declared import declared_column
from lsg_ray.ensemble.header import new_header
from lsg_ray.ensemble.schema import ArrayLayout
from lsg_ray.errors import InputError
from lsg_ray.exchange.source import Scan, Source, block_rows
from lsg_ray.networks.families.weights import joined_name, layer_options
from lsg_ray.networks.family import SCALAR_COLUMNS, Family
from lsg_ray.registry import DATA_SETS, FAMILIES
from lsg_ray.spec import DatasetSpec, NetworkSpec, Spec, parse_spec
from lsg_ray.typing import Array, JsonObject

#: Hash of the data set in stores without one.
NO_DATA = "none"
#: Decimal digits of outputs up to which the loss in float32, up to 10³⁸, cannot overflow.
MAX_DIGITS = 35.0


class Comparison:
    """How columns of a source differ from those computed on the data set.

    names: of the columns; rows: compared so far; differing, largest: number of rows that differ by
    more than the tolerance, and the largest difference, by column.
    """

    #: Difference that other summation orders and float32 do not explain, relative above 1.
    TOLERANCE = 1e-6

    def __init__(self, names: Iterable[str]) -> None:
        self.names, self.rows = tuple(names), 0
        self.differing = dict.fromkeys(self.names, 0)
        self.largest = dict.fromkeys(self.names, 0.0)

    def add(self, source: Mapping[str, Array], computed: Mapping[str, Array]) -> None:
        """Compare some rows."""
        for name in self.names:
            values = np.asarray(computed[name], np.float64)
            difference = np.abs(np.asarray(source[name], np.float64) - values)
            wrong = difference > self.TOLERANCE * np.maximum(1, np.abs(values))
            self.differing[name] += int(np.count_nonzero(wrong))
            self.largest[name] = max(self.largest[name], float(difference.max(initial=0)))
        self.rows += len(next(iter(computed.values()), ()))

    def note(self) -> str:
        """Return one line for the user; empty if the source has no such columns."""
        if not self.names:
            return ""
        faults = [
            f"{name} in {count:,} of {self.rows:,} configurations, by up to "
            f"{self.largest[name]:.2g}"
            for name, count in self.differing.items()
            if count
        ]
        what = f"{', '.join(self.names)}: computed on the data set, those of the source left out"
        return f"{what}; they differ: {'; '.join(faults)}" if faults else what


class ImportPlan(NamedTuple):
    """Contents of the store: source, its properties, specification, data set and columns."""

    source: Source
    scan: Scan
    spec: Spec
    dataset: Dataset | None
    measured: tuple[ArrayLayout, ...]
    columns: tuple[ArrayLayout, ...]
    #: Measured columns that the source has too; they are compared, and the computed ones stored.
    compared: Comparison

    def outputs_may_overflow(self) -> bool:
        """Return whether outputs of some row may be too large for float32, by a bound.

        Each layer multiplies the largest value by no more than its inputs times the largest weight.
        """
        network, dataset = self.spec.network, self.dataset
        if dataset is None or self.scan.signs:
            return False
        parts = (dataset.train.x, dataset.test.x)
        size = 1.0 + max(max(abs(float(x.max())), abs(float(x.min()))) for x in parts)
        digits = math.log10(size) + math.log10(1 + abs(network.options.get("output_scale", 1.0)))
        for _, inputs in network.shapes:
            digits += math.log10(1 + inputs * self.scan.largest * max(1.0, network.leaky_slope))
        return digits > MAX_DIGITS


def network_tree(
    network: NetworkSpec | Mapping[str, object] | Sequence[int] | None, family: str | None
) -> JsonObject:
    """Return the given fields of the network, as a section of a specification."""
    if network is None:
        tree: JsonObject = {}
    elif isinstance(network, NetworkSpec):
        tree = network.model_dump(mode="json", exclude_unset=True)
        tree.setdefault("family", network.family)
        tree.setdefault("widths", list(network.widths))
    elif isinstance(network, Mapping):
        tree = dict(network)
    else:
        tree = {"widths": as_integers(network, "network").tolist()}
    if family is not None:
        FAMILIES[family]  # refuses unknown families
        tree["family"] = family
    widths = tree.get("widths")
    if widths is not None and (
        not isinstance(widths, (list, tuple))
        or len(widths) < 2
        or not all(type(width) is int and 0 < width < 2**31 for width in widths)
    ):
        raise InputError(f"network: widths {widths} given; positive numbers from input to output")
    return tree


def unchained_weights(net: JsonObject) -> int | None:
    """Return the number of weights of a family whose layers are no chain; None of others."""
    family = FAMILIES[str(net["family"])] if "widths" in net and "family" in net else None
    if family is None or family.permutable or not family.has_outputs:
        return None
    network = NetworkSpec.model_validate(net)
    return sum(math.prod(shape) for shape in family.shapes(network))


def dataset_tree(dataset: DatasetSpec | Mapping[str, object] | str | None) -> JsonObject | None:
    """Return the given fields of the data set, as a section of a specification."""
    if dataset is None:
        return None
    if isinstance(dataset, DatasetSpec):
        return dataset.model_dump(mode="json")
    return {"name": dataset} if isinstance(dataset, str) else dict(dataset)


def expects_signs(net: JsonObject) -> bool | None:
    """Return whether the family is of ±1, or None where none is given."""
    family = net.get("family")
    return None if family is None else FAMILIES[str(family)].signs


def plan_import(
    source: Source, scan: Scan, net: JsonObject, data: JsonObject | None, given: Iterable[str] = ()
) -> ImportPlan:
    """Return the plan of an import, before anything is created.

    ``given``: names of the columns that the user passed, rather than the source.
    """
    tree: JsonObject = {"network": net}
    if data is None or "widths" not in net:
        if data is not None:
            raise InputError(
                f"data set {data.get('name')!r} given without a network; name its widths "
                "(--network 20-15-15-10)"
            )
        _weights_alone(tree, source, scan)
    else:
        net.setdefault("family", "binary" if scan.signs and not source.biases else "relu")
        family = FAMILIES[str(net["family"])]
        if not family.signs:  # weights of a real network may all be ±1
            scan.signs = scan.zero_one = False
        if not family.has_outputs:
            raise InputError(
                f"family {family.name!r} given; it has no outputs, and a data set is given: leave "
                "one out"
            )
        if source.biases:
            net["biases"] = True
        tree["dataset"] = _with_components(data, net["widths"])
    block = block_rows(source.n_rows, source.n_weights, scan.signs)
    tree["ensemble"] = {"count": source.n_rows, "threshold": 0.0, "block_size": block}
    if FAMILIES[str(net["family"])].name == "binary":
        tree["ensemble"]["draws"] = 1
    tree["name"] = _name_of(source.name)
    spec = parse_spec(tree, "import")
    dataset = None if data is None else load_dataset(spec.dataset)
    measured = () if dataset is None else _measured(FAMILIES[spec.network.family], spec)
    names = {layout.name for layout in measured}
    for name in given:
        if name in names:
            raise InputError(
                f"column {name!r} is computed on the data set; rename yours, or leave the data set "
                "out"
            )
    compared = Comparison(name for name in scan.types if name in names)
    user = [
        declared_column(name, dtype, "imported")
        for name, dtype in scan.types.items()
        if name not in names
    ]
    columns = (*measured, *user)
    new_header(spec, NO_DATA, None, columns)  # refuses headers that are too large
    return ImportPlan(source, scan, spec, dataset, measured, columns, compared)


def _weights_alone(tree: JsonObject, source: Source, scan: Scan) -> None:
    """Complete the section of a network of which only the layers are known."""
    net = tree["network"]
    kind = "weights" if scan.signs else "real-weights"
    if net.get("family") not in (None, "weights", "real-weights"):
        source.notes.append(
            f"no data set: stored as weights alone, not as {net['family']}; accuracy and loss are "
            "not computed (--dataset)"
        )
    layers = source.layers
    if layers is None or source.matched or "widths" in net:
        pairs = itertools.pairwise(net.get("widths", ()))
        layers = {
            joined_name(2 * number) if source.biases else f"{2 * number}.weight": (
                n_out,
                n_in + source.biases,
            )
            for number, (n_in, n_out) in enumerate(pairs)
        }
    options = {"options": layer_options(layers)} if layers else {}
    tree["network"] = net | {"family": kind, "widths": [source.n_weights, 1], "biases": False}
    tree["network"] |= options
    net["family"] = kind


def _with_components(data: JsonObject, widths: Sequence[int]) -> JsonObject:
    """Project a data set on as many components as the network has inputs, unless given."""
    name = data.get("name", "mnist")
    if "components" in data or not isinstance(name, str) or name not in DATA_SETS:
        return data
    source = DATA_SETS[name]
    if source.config is not None:  # whose size follows from its options, and which is not projected
        return data
    pixels = source.n_pixels
    return {**data, "components": None if widths[0] == pixels else widths[0]}


def _measured(family: Family, spec: Spec) -> tuple[ArrayLayout, ...]:
    """Return the columns that are computed on a data set."""
    known = {layout.name: layout for layout in family.columns(spec)}
    columns = []
    for name in family.measures:
        about = known[name].attributes["description"] if name in known else SCALAR_COLUMNS[name][1]
        columns.append(declared_column(name, "<f8", about))
    return tuple(columns)


def _name_of(name: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(name).stem).strip("-._")[:64]
    return stem or "imported"


def notes_of(plan: ImportPlan) -> list[str]:
    """Return notes for the user on how the source was read, a line each."""
    notes = list(plan.source.notes)
    if plan.scan.zero_one:
        notes.append("weights 0 and 1 are stored as −1 and +1")
    if plan.scan.rounding:
        notes.append(f"rounded to float32, relative error up to {plan.scan.rounding:.1g}")
    components = plan.spec.dataset.components
    if plan.dataset is not None and components is not None:
        notes.append(f"inputs: {components} principal components of {plan.spec.dataset.name}")
    if plan.dataset is None:
        own = [c.name for c in plan.columns if c.name.endswith(("accuracy", "loss"))]
        kept = f"; {', '.join(own)}: those of the source" if own else ""
        notes.append(f"weights alone: accuracy and loss are not computed{kept}")
    if line := plan.compared.note():
        notes.append(line)
    return list(dict.fromkeys(notes))
