"""What a run is: a frozen, validated specification.

A specification has four sections, `dataset`, `network`, `training` and `ensemble`.  Every default
is the papers' own value, and its description names the source (`sections`).

Two specifications with the same canonical JSON are the same run.  `Spec.hash` covers everything;
the stored ensemble quotes it as provenance.
"""

from lsg_ray.spec.dataset import DatasetSpec as DatasetSpec
from lsg_ray.spec.dataset import Sizes as Sizes
from lsg_ray.spec.reading import as_yaml as as_yaml
from lsg_ray.spec.reading import load_readable_spec as load_readable_spec
from lsg_ray.spec.reading import load_spec as load_spec
from lsg_ray.spec.reading import override as override
from lsg_ray.spec.sections import EnsembleSpec as EnsembleSpec
from lsg_ray.spec.sections import NetworkSpec as NetworkSpec
from lsg_ray.spec.sections import Part as Part
from lsg_ray.spec.sections import Selection as Selection
from lsg_ray.spec.sections import TrainingSpec as TrainingSpec
from lsg_ray.spec.specification import Spec as Spec
from lsg_ray.spec.specification import parse_spec as parse_spec
