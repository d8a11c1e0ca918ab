"""Read a specification from YAML, with assignments from the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lsg_ray.errors import SpecError
from lsg_ray.places import expanded
from lsg_ray.spec.model import Spec, name_of, parse_spec, shown

#: Most bytes of a specification's file, and keys that merges put into it; ours have none.
MAX_FILE, MAX_MERGED = 2**17, 10_000
#: Most sections within one another that an assignment names; ours are two.
MAX_LEVELS = 20
_MERGE, _VALUE = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"


def load_spec(path: str | Path, overrides: Iterable[str] = ()) -> Spec:
    """Read a specification from a YAML file and apply ``section.field=value`` overrides.

    Parameters
    ----------
    path
        YAML (or JSON) file; read with the safe loader.
    overrides
        Assignments such as ``training.epochs=5``; values are YAML.

    Raises
    ------
    SpecError
        The file is missing, is not YAML, or a field is wrong.
    """
    try:
        with Path(expanded(path)).open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise SpecError([f"over {MAX_FILE:,} bytes long; this is no specification"], str(path))
        text = data.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise SpecError([f"cannot be read: {reason}"], str(path)) from None
    try:
        tree = _read_yaml(text)
    except ValueError as error:
        raise SpecError([str(error)], str(path)) from None
    tree = {} if tree is None else tree
    if isinstance(tree, Mapping):
        tree = override(tree, overrides)
    return parse_spec(tree, str(path))


def override(tree: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return a copy of a nested mapping with ``a.b=c`` assignments applied.

    >>> override({"training": {"epochs": 50}}, ["training.epochs=5"])
    {'training': {'epochs': 5}}
    """
    result = dict(tree)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise SpecError([f"{shown(assignment)} given; write section.field=value"], "--set")
        if len(keys) > MAX_LEVELS:
            fault = f"{shown(assignment)} given, {len(keys):,} levels; write section.field=value"
            raise SpecError([fault], "--set")
        try:
            result = _assigned(result, keys, _read_yaml(text))
        except ValueError as error:
            fault = f"{name_of(path)}: {shown(text)} given; {error}"
            raise SpecError([fault], "--set") from None
    return result


def _assigned(tree: Mapping[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """Return a copy with the value at the end of a path of keys; what it leaves alone is shared."""
    key, *rest = keys
    if not rest:
        return {**tree, key: value}
    child = {} if tree.get(key) is None else tree[key]
    if not isinstance(child, Mapping):
        raise ValueError(f"{key!r} is a value, not a section")
    return {**tree, key: _assigned(child, rest, value)}


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; a key that stands twice in a mapping is an error, merges are bounded."""

    merged = 0

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in seen:
                    problem = f"{shown(key.value)} is given twice"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put what ``<<`` names before the mapping's own keys, as YAML 1.1 says.

        PyYAML's own does it first and is bounded by nothing: merges of merges grow as a power, and
        lists of aliases as a product.
        """
        merges = [value for key, value in node.value if key.tag == _MERGE]
        own = [(key, value) for key, value in node.value if key.tag != _MERGE]
        for key, _ in own:
            if key.tag == _VALUE:
                key.tag = "tag:yaml.org,2002:str"
        node.value = own  # without its merges: a mapping may be within itself
        found: list[tuple[yaml.Node, yaml.Node]] = []
        for merge in merges:
            sources = merge.value[::-1] if isinstance(merge, yaml.SequenceNode) else [merge]
            for source in sources:
                if not isinstance(source, yaml.MappingNode):
                    problem = "'<<' takes a mapping, or a list of some"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=merge.start_mark)
                self.flatten_mapping(source)
                self.merged += 1 + len(source.value)
                if self.merged > MAX_MERGED:
                    problem = f"'<<' merges more than {MAX_MERGED:,} keys"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
                found += source.value
        node.value = found + own


def _read_yaml(text: str) -> Any:
    """Read YAML; `ValueError` says in one line what is wrong with it."""
    try:
        return _Loader(text).get_single_data()
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:
        line = "".join(mark if mark.isprintable() else " " for mark in str(error))
        raise ValueError(f"not valid YAML: {' '.join(line.split())}") from None
