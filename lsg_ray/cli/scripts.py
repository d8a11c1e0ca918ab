"""Stages as scripts of their own: ``jobs/*.py``."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lsg_ray.cli.jobs import command_named
from lsg_ray.cli.main import main
from lsg_ray.cli.options import CONTEXT_SETTINGS
from lsg_ray.stages import GROUPS, all_stages


def run_stage(stage: str, arguments: Sequence[str]) -> None:
    """Run a command, or those of a group, as a script of its own, and exit as `lsg` does.

    What the command reads, its argument, may also be given as an option: ``--spec``, ``--store``
    or ``--model``.
    """
    option = {"sample": "--spec", "pipeline": "--spec", "scan": "--model"}.get(stage, "--store")
    command = copy.copy(_group(stage) if stage in GROUPS else command_named(stage))
    command.context_settings = CONTEXT_SETTINGS
    command.epilog = f"The argument may also be given as {option}."
    words: list[str] = []
    sources: list[str] = []
    remaining = iter(arguments)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name != option:
            words.append(word)
        elif value := value if equals else next(remaining, ""):
            sources.append(value)
    main([*words, *sources], command, Path(sys.argv[0]).name)


def _group(title: str) -> click.Group:
    names = [name for name, (group, _) in all_stages().items() if group == title]
    commands = {name: command_named(name) for name in names}
    return click.Group(title, commands=commands, help=f"Commands of the group {title}.")
