"""The README's table of commands and its examples are those that there are."""

import re
from pathlib import Path

import click
import yaml

from lsg_ray.cli.main import cli
from lsg_ray.spec import parse_spec
from lsg_ray.stages import STAGES, stage_of

ROOT = Path(__file__).parents[2]
TOYS = ROOT / "tests" / "toy"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def usage(name: str) -> str:
    """Return how a stage is called, in the table: what it reads, and where it writes."""
    stage = stage_of(name)
    words = [
        kind.metavar if argument in stage.positional else f"--{argument} {kind.metavar}"
        for argument, kind in stage.reads.items()
        if argument not in stage.optional
    ]
    fields = stage.config.model_fields.items()
    words += [f"--{option} {option.upper()}" for option, field in fields if field.is_required()]
    out = "STORE" if stage.makes == "store" else "RESULT"
    return " ".join([f"lsg {name}", *words, f"--out {out}"]).replace("|", "\\|")


def test_every_stage__has_its_row():
    context = click.Context(cli)
    rows = [f"| `{usage(name)}` | {entry.line} |" for name, entry in STAGES.items()]
    missing = [row for row in rows if row not in README]
    assert not missing, "rows of the table of commands in README.md:\n" + "\n".join(missing)
    named = set(re.findall(r"^\| `lsg ([a-z-]+)", README, re.M))
    named |= set(re.findall(r"^\| `[^|]*`, `lsg ([a-z-]+)", README, re.M))
    assert named == set(cli.list_commands(context))


def test_examples_of_what_can_be_added__are_those_that_are_run():
    develop = README.partition("## Develop")[2]
    shown = re.findall(r"```python\n(.*?)```", develop, re.DOTALL)
    toys = {file.name: file.read_text(encoding="utf-8") for file in TOYS.glob("toy_*.py")}
    assert set(shown) <= set(toys.values())
    assert set(re.findall(r"`(toy_\w+\.py)`", develop)) == set(toys)


def test_specification_of_the_readme__is_one():
    tree = yaml.safe_load(re.search(r"```yaml\n(name: .*?)```", README, re.DOTALL)[1])
    assert parse_spec(tree).times == ("epochs", (0, 1, 2, 5, 10, 20))
