"""What a run is: a frozen, validated specification.

A specification has four sections, `dataset`, `network`, `training` and `ensemble`.  Every default
is the papers' own value, and its description names the source (`sections`).

Two specifications with the same canonical JSON are the same run.  `Spec.hash` covers everything;
the stored ensemble quotes it as provenance.
"""

from lsg_ray.spec.model import Spec, parse_spec
from lsg_ray.spec.reading import as_yaml, load_spec, override
from lsg_ray.spec.sections import (
    DatasetSpec,
    EnsembleSpec,
    NetworkSpec,
    Part,
    Selection,
    TrainingSpec,
)

__all__ = [
    "DatasetSpec",
    "EnsembleSpec",
    "NetworkSpec",
    "Part",
    "Selection",
    "Spec",
    "TrainingSpec",
    "as_yaml",
    "load_spec",
    "override",
    "parse_spec",
]
