"""Read a specification from YAML, with assignments from the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from lsg_ray.errors import SpecError, name_of, shown
from lsg_ray.paths import expanded
from lsg_ray.spec.specification import Spec, parse_spec


@dataclass(frozen=True)
class ReadingLimits:
    """What a specification may be at most, so that no file of a stranger costs much to read."""

    #: Bytes of the file.
    file_bytes: int = 2**17
    #: Keys that merges put into it; ours have none.
    merged_keys: int = 10_000
    #: Sections within one another that an assignment names; ours are two.
    levels: int = 20
    #: Exponent of a number that is read as a whole one; floats end before it.
    exponent: int = 400


LIMITS = ReadingLimits()
#: Sections whose entries a command line can leave out, and what these are.
LEFT_OUT = {"study": "a step", "beside": "an ensemble"}
_MERGE, _VALUE = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
#: Whole numbers that begin with a zero: octal in YAML 1.1, where that fits, and decimal in 1.2.
_ZERO = re.compile(r"[-+]?0[0-9_]+")
#: Numbers with an exponent, which YAML 1.1 takes for text unless they have a point and a sign.
_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def load_spec(path: str | Path, overrides: Iterable[str] = ()) -> Spec:
    """Read a specification from a YAML file and apply ``section.field=value`` overrides.

    Parameters
    ----------
    path
        Path of a YAML (or JSON) file; read with the safe loader.  ``{}`` has every default; a file
        with nothing in it is no specification.
    overrides
        Assignments such as ``training.epochs=5``; values are YAML.  Numbers are decimal: what
        YAML 1.1 takes for octal (``010``) or to the base of 60 (``1:30``) is refused.

    Raises
    ------
    SpecError
        The file is missing, is not YAML, or a field is wrong.
    """
    try:
        tree = _read_yaml(_text_of(expanded(path)))
        if tree is None:
            raise ValueError("empty: it holds no specification; write {} for one of all defaults")
    except ValueError as error:
        raise SpecError([str(error)], str(path)) from None
    return parse_spec(override(tree, overrides) if isinstance(tree, Mapping) else tree, str(path))


def load_readable_spec(path: str | Path) -> tuple[Spec, dict[str, str]]:
    """Read a specification without the steps of its study that cannot be read.

    Returns
    -------
    The specification, and by name why a step was left out; see `load_spec`.
    """
    try:
        return load_spec(path), {}
    except SpecError as error:
        from lsg_ray.spec.steps import readable_steps

        spec = load_spec(path, ["study=null"])
        study = _read_yaml(_text_of(expanded(path)))["study"]
        if not isinstance(study, Mapping):
            raise
        try:
            steps, reasons = readable_steps(study, spec.beside)
        except ValueError:
            raise error from None
        return spec.replace(study=steps), reasons


def _text_of(path: str) -> str:
    """Return the text of a file; `ValueError` says why it is none of a specification."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(LIMITS.file_bytes + 1)
        if len(data) <= LIMITS.file_bytes:
            return data.decode("utf-8")
    except IsADirectoryError:
        within = Path(path) / "spec.yaml"
        named = f"; that of this run is {within}" if within.is_file() else "; name a YAML file"
        raise ValueError(f"a directory, and no specification{named}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise ValueError(f"cannot be read: {reason}") from None
    raise ValueError(f"over {LIMITS.file_bytes:,} bytes long; this is no specification")


def override(tree: Mapping[str, object], assignments: Iterable[str]) -> dict[str, object]:
    """Return a copy of a nested mapping with ``a.b=c`` assignments applied.

    Null leaves a step of the study, or an ensemble beside, out; in a file, a step without a value
    has its defaults.

    >>> override({"training": {"epochs": 50}}, ["training.epochs=5"])
    {'training': {'epochs': 5}}
    >>> override({"study": {"moments": {}, "scan": {}}}, ["study.scan=null"])
    {'study': {'moments': {}}}
    """
    result = dict(tree)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise SpecError([f"{shown(assignment)} given; write section.field=value"], "--set")
        if len(keys) > LIMITS.levels:
            fault = f"{shown(assignment)} given, {len(keys):,} levels; write section.field=value"
            raise SpecError([fault], "--set")
        try:
            value = _read_yaml(text)
            left = _left_out(result, keys) if value is None else None
            result = _assigned(result, keys, value) if left is None else left
        except ValueError as error:
            fault = f"{name_of(path)}: {shown(text)} given; {error}"
            raise SpecError([fault], "--set") from None
    return result


def _left_out(tree: Mapping[str, object], keys: list[str]) -> dict[str, object] | None:
    """Return a copy without the entry that a path of keys names; None if it names none of those."""
    section, *rest = keys
    word = LEFT_OUT.get(section)
    name = ".".join(rest)  # which may have points
    entries = tree.get(section)
    if word is None or not rest or not isinstance(entries, Mapping | None):
        return None
    known = entries or {}
    if name in known:
        return {**tree, section: {k: v for k, v in known.items() if k != name}}
    if len(rest) == 1:
        there = f"there are {', '.join(map(name_of, known))}" if known else "there is none"
        raise ValueError(f"null leaves out {word}, and there is no such; {there}")
    return None


def _assigned(tree: Mapping[str, object], keys: list[str], value: object) -> dict[str, object]:
    """Return a copy with the value at the end of a path of keys; what it leaves alone is shared."""
    key, *rest = keys
    if not rest:
        return {**tree, key: value}
    child = {} if tree.get(key) is None else tree[key]
    if not isinstance(child, Mapping):
        raise ValueError(f"{key!r} is a value, not a section")
    return {**tree, key: _assigned(child, rest, value)}


class _AmbiguousError(ValueError):
    """A number that may mean two things."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; a key that stands twice in a mapping is an error, merges are bounded.

    Numbers are what a person means: ``1e6`` is one, ``010`` and ``1:30`` are refused.
    """

    merged = 0

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return a whole number that can be read in one way only."""
        _require_plain(self.construct_scalar(node), node)
        return int(super().construct_yaml_int(node))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """Return a number; a whole one that a float cannot hold as it is stays whole."""
        text = str(self.construct_scalar(node))
        _require_plain(text, node)
        number = float(super().construct_yaml_float(node))
        if 2**53 <= abs(number) < float(f"1e{LIMITS.exponent}") and _EXPONENT.fullmatch(text):
            whole = Decimal(text)
            return int(whole) if whole == whole.to_integral_value() else number
        return number

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
        """Put what ``<<`` names before the mapping's own keys, as in YAML 1.1.

        PyYAML's own does it first and is bounded by nothing: merges of merges grow as a power, and
        lists of aliases as a product.
        """
        merges = [value for key, value in node.value if key.tag == _MERGE]
        own = [(key, value) for key, value in node.value if key.tag != _MERGE]
        for key, _ in own:
            if key.tag == _VALUE:
                key.tag = "tag:yaml.org,2002:str"
        node.value = own  # without its merges: a mapping may be within itself
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        for merge in merges:
            sources = merge.value[::-1] if isinstance(merge, yaml.SequenceNode) else [merge]
            for source in sources:
                if not isinstance(source, yaml.MappingNode):
                    problem = "'<<' takes a mapping, or a list of some"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=merge.start_mark)
                self.flatten_mapping(source)
                self.merged += 1 + len(source.value)
                if self.merged > LIMITS.merged_keys:
                    problem = f"'<<' merges more than {LIMITS.merged_keys:,} keys"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
                merged += source.value
        node.value = merged + own


_Loader.add_constructor(_INT, _Loader.construct_yaml_int)
_Loader.add_constructor(_FLOAT, _Loader.construct_yaml_float)


class Dumper(yaml.SafeDumper):
    """Writes YAML that is read back the same: text that could be a number goes in quotes.

    Lists are on one line.
    """


Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, True)
)

for _side in (_Loader, Dumper):
    _side.add_implicit_resolver(_INT, re.compile(f"(?:{_ZERO.pattern})$"), list("-+0"))
    _side.add_implicit_resolver(
        _FLOAT, re.compile(f"(?:{_EXPONENT.pattern})$"), list("-+.0123456789")
    )


def as_yaml(spec: Spec) -> str:
    """Return a specification as YAML that `load_spec` reads back the same.

    >>> as_yaml(parse_spec({"name": "1e6"})).splitlines()[1]
    "name: '1e6'"
    """
    tree = spec.tree()
    return str(yaml.dump(tree, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=88))


def _require_plain(value: Any, node: yaml.ScalarNode) -> None:
    """Refuse a number that YAML 1.1 reads to another base than a person does."""
    text = str(value)
    if ":" in text:
        meaning = "a number to the base of 60 in YAML, as of minutes and seconds"
    elif _ZERO.fullmatch(text):
        meaning = "octal in one version of YAML and decimal in another"
    else:
        return
    raise _AmbiguousError(
        f"line {node.start_mark.line + 1}: {shown(text)} is {meaning}; write a decimal number "
        "without leading zeros, or text in quotes"
    )


def _read_yaml(text: str) -> Any:
    """Read YAML; `ValueError` says in one line what is wrong with it."""
    try:
        loader = _Loader(text)
        loader.name = "the file"  # in messages, in place of <unicode string>
        return loader.get_single_data()
    except _AmbiguousError:
        raise
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
