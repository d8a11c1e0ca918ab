"""Tutorials are notebooks, use public names, and run as scripts at toy size."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lsg_ray

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "jobs" / "tutorials"
#: What `SIZE` is set to here, of each.
TOY = {
    "first_ensemble": 0.05,
    "your_own_data": 0.05,
    "entropy_landscape": 0.05,
    "loss_landscape": 0.1,
    "wide_flat_minima": 0.1,
    "cluster": 0.05,
    "adding_a_method": 0.05,
}
#: What a line of the output is, where the physics leaves no choice.
SAYS = {
    "first_ensemble": r"sound +True",
    "your_own_data": r"same content: True",
    "entropy_landscape": (
        r"K = 0\.5, fields of both signs: smooth[\s\S]*"
        r"K = 1\.5, fields of both signs: first-order.*\n.*of one sign: undetermined"
    ),
    "loss_landscape": r"σ = 0.001 : .*undetermined; at least",
    "wide_flat_minima": r"capacity: α_c = 0\.8331",
    "cluster": r"SUCCEEDED, attached to an earlier one: True[\s\S]*same content: True",
    "adding_a_method": r"trained .*reproduced\n",
}


def cells(text):
    """Return (whether it is Markdown, its lines) of each cell, as Jupytext cuts them."""
    parts = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)
    assert parts[0] == ""
    return [
        (title.strip() == "[markdown]", body.strip().splitlines())
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


@pytest.mark.parametrize("name", TOY)
def test_is_a_notebook(name):
    found = cells((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    assert [markdown for markdown, _ in found] == [i % 2 == 0 for i in range(len(found))]
    text = ""
    for markdown, lines in found:
        if markdown:
            assert all(line == "#" or line.startswith("# ") for line in lines)
            text += "\n".join(line[2:] for line in lines) + "\n"
            continue
        for statement in ast.parse("\n".join(lines)).body:  # nothing is shown but what is printed
            if isinstance(statement, ast.Expr):
                assert isinstance(statement.value, ast.Call), ast.unparse(statement)
    assert found[-1][0]
    assert "## What next" in "\n".join(found[-1][1]).replace("# #", "#")
    assert "undetermined" in text.lower()


@pytest.mark.parametrize("name", TOY)
def test_uses_public_names(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "lsg_ray"
    }
    assert used <= set(lsg_ray.__all__)
    inner = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    inner = {module for module in inner if module.startswith("lsg_ray")}
    assert inner <= ({"lsg_ray.experiments.claim"} if name == "adding_a_method" else set())


def test_all_are_listed():
    files = {path.stem for path in FOLDER.glob("*.py")}
    assert files == set(TOY) == set(SAYS)
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Tutorials")[2]
    assert re.findall(r"`(\w+)\.py`", section.partition("\n## ")[0]) == list(TOY)


@pytest.mark.parametrize("name", TOY)
def test_runs_as_a_script(name, tmp_path):
    if name == "cluster":
        for needed in ("aiohttp", "grpc", "requests"):
            pytest.importorskip(needed, reason="jobs need ray[default]")
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    small, changed = re.subn(r"^SIZE = [\d.]+", f"SIZE = {TOY[name]}", text, flags=re.MULTILINE)
    assert changed == 1
    (tmp_path / f"{name}.py").write_text(small, encoding="utf-8")
    (tmp_path / "here").mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AWS_"))}
    environment |= {
        "LSG_TUTORIAL_OUT": str(tmp_path / "out"),
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "PYTHONUTF8": "1",
    }
    ran = subprocess.run(
        [sys.executable, tmp_path / f"{name}.py"],
        cwd=tmp_path / "here", env=environment, capture_output=True, encoding="utf-8", timeout=900,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert re.search(SAYS[name], ran.stdout), ran.stdout
    assert "nan" not in ran.stdout.lower().split(), ran.stdout
    assert not list((tmp_path / "here").iterdir())
