"""An experiment: figures of a paper as one specification with a study, at three sizes, and claims.

    EXPERIMENT = Experiment("ll-fig12", LIQUID_LIKE, "12", "Three-weight correlations", SPEC,
                            scales={"toy": {"ensemble": {"count": 200}}, ...}, claims=(...))

``SPEC`` is the tree of a specification (`lsg_ray.spec`); a scale changes some of its fields.  Toy
sizes take seconds and test the code; laptop sizes take minutes on two cores; paper sizes are those
of the paper, for a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from lsg_ray.errors import InputError
from lsg_ray.experiments.claim import Claim
from lsg_ray.spec import Spec, parse_spec

Scale: TypeAlias = Literal["toy", "laptop", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)


class Paper(NamedTuple):
    """A paper: its short name, and its reference."""

    name: str
    reference: str


LIQUID_LIKE = Paper(
    "liquid-like landscape",
    "W. Zou, H. Huang, Data-driven effective model shows a liquid-like deep learning",
)
SPIN_GLASS_LENS = Paper(
    "spin-glass lens", "Exploring loss landscapes through the lens of spin glass theory"
)


@dataclass(frozen=True)
class Experiment:
    """Figures of a paper, and what is claimed of them.

    Parameters
    ----------
    name
        Name in commands.
    paper
        Where the figures stand.
    figure
        Numbers of the figures there, as text.
    title
        What is shown, in a few words.
    spec
        Tree of the specification, with its study, as at laptop size where a scale says no more.
    scales
        Fields that differ, by scale.
    claims
        What is claimed.
    minutes
        What the laptop size takes on two cores, about.
    sampled
        Name of its ensembles, where other experiments have the same; by default that of the
        experiment.
    """

    name: str
    paper: Paper
    figure: str
    title: str
    spec: Mapping[str, Any]
    scales: Mapping[Scale, Mapping[str, Any]]
    claims: tuple[Claim, ...]
    minutes: float
    sampled: str = ""

    def at(self, scale: str) -> Spec:
        """Return the specification at a scale.

        Raises
        ------
        InputError
            There is no such scale.
        """
        if scale not in SCALES:
            raise InputError(f"scale {scale!r:.40} given; there are {', '.join(SCALES)}")
        changes = self.scales.get(scale, {})
        name = f"{self.sampled or self.name}-{scale}"
        return parse_spec({"name": name, **merged(self.spec, changes)})


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree with the fields of another in place of its own.

    >>> merged({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}})
    {'a': {'x': 1, 'y': 5}, 'b': 3}
    """
    result = dict(tree)
    for name, value in changes.items():
        before = result.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = merged(before, value) if both else value  # type: ignore[arg-type]
    return result
