"""Completion by the Tab key: the script of a shell, and what values are completed to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from lsg_ray.cli.options import Command, argument, as_json, command
from lsg_ray.cli.output import print_result

#: Completes a parameter: called with context, parameter and what is typed.
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
#: What click's script of a shell lacks: no space follows FIELD=, where a value goes on.
SHELLS = {
    "bash": """
_lsg_values() {
    _lsg_completion "$@"
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]]; then compopt -o nospace; fi
}
complete -o nosort -F _lsg_values lsg
""",
    "zsh": "",
    "fish": "",
}


@command(cls=Command)
@argument("shell", type=click.Choice(list(SHELLS)), help="Shell: bash (4.4 or newer), zsh or fish.")
@as_json
@click.pass_context
def completion(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Print what makes SHELL complete commands, options, files and names.

    \b
    bash, in ~/.bashrc:                  eval "$(lsg completion bash)"
    zsh, in ~/.zshrc, after compinit:    eval "$(lsg completion zsh)"
    fish, in ~/.config/fish/config.fish: lsg completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "lsg", "_LSG_COMPLETE").source() + SHELLS[shell]
    print_result({"shell": shell, "script": script}, as_json, script)


def names(known: Callable[[], Iterable[str]], or_files: bool = False) -> Completer:
    """Return what completes to names, which are looked up when they are asked for."""

    def complete(_: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        items = [CompletionItem(name) for name in known() if name.startswith(typed)]
        return items or ([CompletionItem(typed, type="file")] if or_files else [])

    return complete


def data_sets() -> Iterable[str]:
    """Return the names of data sets."""
    from lsg_ray.registry import DATA_SETS

    return DATA_SETS.names()


def experiments() -> Iterable[str]:
    """Return the names of experiments."""
    from lsg_ray.experiments.catalogue import EXPERIMENTS

    return EXPERIMENTS.names()


def stages() -> Iterable[str]:
    """Return the names of stages, for lsg submit."""
    from lsg_ray.stages import OF_SPEC, all_stages

    return (*OF_SPEC, *all_stages())


def fields() -> Iterable[str]:
    """Return the fields of a specification as --set takes them: ``training.epochs=``."""
    from lsg_ray.spec import Spec

    for section, field in Spec.model_fields.items():
        for inner in getattr(field.annotation, "model_fields", ()):
            yield f"{section}.{inner}="
    yield from ("name=", "study.", "beside.")
