"""Docstrings list the parameters that functions and classes have, and no others."""

import ast
import functools
from pathlib import Path

import pytest

import lsg_ray
from lsg_ray.typing import SHARED_HELP

ROOT = Path(lsg_ray.__file__).parent
MODULES = {file.relative_to(ROOT).as_posix(): file for file in sorted(ROOT.rglob("*.py"))}


def public(body, prefix=""):
    """Yield the name and the node of all public functions, classes and methods."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def listed(docstring):
    """Return the names under ``Parameters``, where one entry may list several; None without."""
    lines = docstring.splitlines()
    if "Parameters" not in lines:
        return None
    names = []
    start = lines.index("Parameters") + 2
    for line, below in zip(lines[start:], [*lines[start + 1 :], ""], strict=True):
        if below and not below.strip("-"):
            break  # the title of the next section
        if line and not line.startswith(" "):
            names += [name.strip(" *") for name in line.partition(" :")[0].split(",")]
    return names


def signature(node):
    """Return what a function or the construction of a class takes, and what it may take."""
    if isinstance(node, ast.ClassDef):
        made = [one for one in node.body if getattr(one, "name", "") == "__init__"]
        if not made:  # a record: its fields
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
            return {one.target.id for one in fields if "ClassVar" not in ast.unparse(one)}, set()
        node = made[0]
    taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    more = [one for one in (node.args.vararg, node.args.kwarg) if one is not None]
    group = ast.unparse(more[-1].annotation) if more and more[-1].annotation else ""
    shared = options_of(group[7:-1]) if group.startswith("Unpack[") else set()
    names = {one.arg for one in more} if not shared else set()
    return {one.arg for one in taken} - {"self", "cls"} | shared, names


@functools.cache
def classes():
    """Return the nodes of all classes of the package, by name."""
    bodies = (ast.parse(file.read_text()).body for file in MODULES.values())
    return {node.name: node for body in bodies for node in body if isinstance(node, ast.ClassDef)}


def options_of(group):
    """Return the names of a group of options that functions share, with those of its bases."""
    if group == "TypedDict":
        return set()
    node = classes()[group]
    own = {one.target.id for one in node.body if isinstance(one, ast.AnnAssign)}
    return own.union(*(options_of(base.id) for base in node.bases))


@pytest.mark.parametrize("module", MODULES)
def test_parameters__are_those_of_the_signature(module):
    for name, node in public(ast.parse(MODULES[module].read_text()).body):
        names = listed(ast.get_docstring(node) or "")
        if names is None:
            continue
        taken, more = signature(node)
        hidden = {one for one in taken if one.startswith("_")}
        assert len(names) == len(set(names)), name
        assert set(names) <= taken | more, (name, "has not", set(names) - taken - more)
        missing = taken - hidden - set(names) - set(SHARED_HELP)
        assert not missing, (name, "does not say what these are", missing)


def test_a_docstring_that_has_fallen_behind__is_found():
    text = (
        "Do.\n\nParameters\n----------\nx, y\n    Of all.\n*more\n    Rest.\n\nRaises\n------\nE\n"
    )
    assert listed(text) == ["x", "y", "more"]
    assert listed("Parameters are none.") is None
    function = ast.parse("def f(self, x, /, z, *more, **options): ...").body[0]
    assert signature(function) == ({"x", "z"}, {"more", "options"})
