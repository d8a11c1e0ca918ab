"""Ensembles beside the one of a specification, which differ from it in some fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lsg_ray.errors import SpecError, name_of
from lsg_ray.typing import JsonObject

#: Sections that may differ, and what they name: its options do not stay where it changes.
SECTIONS = {"dataset": "name", "network": "family", "training": "algorithm", "ensemble": ""}
#: Fields of which one is given.
_BATCHES = ("batch_size", "batch_fraction")
#: Fields that are of a family, or of an algorithm.
_OF_METHOD = ("algorithm", "options")


def changed_tree(
    first: JsonObject,
    name: str,
    changes: Mapping[str, object],
    default: Callable[[str], JsonObject],
) -> JsonObject:
    """Return the sections of an ensemble beside the first.

    Parameters
    ----------
    first
        Sections of the first, complete.
    name
        Name of the other.
    changes
        Fields by section that differ.
    default
        Sections by default of a family of networks: where the other is of another family, what is a
        default of the first one does not stay, but for the number of configurations.

    Raises
    ------
    SpecError
        An unknown section.
    """
    tree: JsonObject = {section: first[section] for section in SECTIONS}
    network, family = changes.get("network"), first["network"]["family"]
    if isinstance(network, Mapping) and network.get("family", family) != family:
        tree = _without(tree, default(family))
    for section, fields in changes.items():
        if section not in SECTIONS:
            allowed = ", ".join(SECTIONS)
            raise SpecError([f"{name_of(section)}: unknown section; there are {allowed}"])
        if isinstance(fields, Mapping):
            another = SECTIONS[section] in fields
            own = {k: v for k, v in tree[section].items() if not (another and k == "options")}
            if section == "dataset" and "options" in own:  # its options stand beside its name too
                own["options"] = {k: v for k, v in own["options"].items() if k not in fields}
            for one, other in (_BATCHES, _BATCHES[::-1]):
                if fields.get(one) is not None and other not in fields and other in own:
                    own[other] = None
            tree[section] = own | dict(fields)
        else:
            tree[section] = fields
    return {"name": f"{first['name']}-{name}"[:64], **tree}


def _without(tree: JsonObject, default: JsonObject) -> JsonObject:
    """Leave out what is by default, or belongs to an algorithm.

    A data set with options is none by default, and stays.
    """
    left = {
        section: {
            field: value
            for field, value in fields.items()
            if field == "count"
            or (value != default[section].get(field) and field not in _OF_METHOD)
        }
        for section, fields in tree.items()
    }
    if tree["dataset"].get("options"):
        left["dataset"] |= {field: tree["dataset"][field] for field in ("name", "options")}
    return left
