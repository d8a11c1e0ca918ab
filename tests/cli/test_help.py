"""Help of all commands has one form, and is there at once."""

import subprocess
import sys

import click
import pytest

from lsg_ray.cli.main import cli
from lsg_ray.cli.options import CONTEXT_SETTINGS, Argument, Command, Option

from .test_outputs import commands

HEAVY = ("dask", "matplotlib", "numba", "pandas", "ray", "sklearn", "torch", "zarr")


def test_every_parameter__has_help_in_sentences():
    context = click.Context(cli)
    for path, command in commands(cli):
        assert isinstance(command, Command), path
        assert command.get_short_help_str(200)[-1] in ".?", path
        for parameter in command.params:
            if isinstance(parameter, Argument):
                assert parameter.about, (path, parameter.name)
            elif not parameter.hidden:
                assert isinstance(parameter, Option), (path, parameter.name)
                _, text = parameter.get_help_record(context)
                assert text.endswith("."), (path, parameter.name)
                assert parameter.help, (path, parameter.name)


def test_facts__follow_the_help_as_sentences():
    context = click.Context(Command("x"))
    for settings, facts in (
        ({"type": click.IntRange(min=2), "default": 20}, "Default: 20. At least 2."),
        ({"type": click.FloatRange(0, 1, max_open=True)}, "At least 0, below 1."),
        ({"type": click.Choice(["a", "b"]), "default": "b"}, "One of: a, b. Default: b."),
        ({"default": 300.0, "type": float, "required": True}, "Default: 300. Required."),
        ({"multiple": True}, "May be repeated."),
        ({"is_flag": True}, ""),
        ({"required": True, "envvar": "X"}, "Required, here or as X in the environment."),
    ):
        _, text = Option(["--x"], help="Number of x", **settings).get_help_record(context)
        assert text == f"Number of x. {facts}".rstrip()
    _, text = Option(["--x/--no-x"], default=True, help="Whether.").get_help_record(context)
    assert text == "Whether. Default: --x."


def test_usage__names_what_is_required(lsg):
    assert lsg("scan", "-h").out.startswith(
        "Usage: lsg scan [OPTIONS] MODEL --references STORE|FILE --out RESULT\n"
    )


def test_help_of_stages__loads_nothing_heavy():
    code = (
        "import sys\n"
        "from lsg_ray.cli.main import main\n"
        "from lsg_ray.stages import STAGES\n"
        "for stage in STAGES:\n"
        "    try: main([stage, '--help'])\n"
        "    except SystemExit as stop: assert stop.code == 0\n"
        f"print(*[n for n in {HEAVY} if n in sys.modules], file=sys.stderr)\n"
        "import xarray; xarray.Dataset"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "\n")


@pytest.mark.parametrize(
    ("option", "landscape"),
    [("--statistics-only", False), ("--no-landscape", False), ("--landscape", True)],
)
def test_run__statistics_only_and_its_earlier_name(
    lsg, spec, tmp_path, monkeypatch, option, landscape
):
    passed = {}

    def run(*_arguments, **options):
        passed.update(options)
        return {"study": {}, "report": "report.html", "failed": []}

    monkeypatch.setattr("lsg_ray.pipeline.run", run)
    assert lsg("run", spec, "--out", tmp_path / "r", option).code == 0
    assert passed["landscape"] is landscape
    assert "landscape/" not in lsg("run", "-h").out
    assert CONTEXT_SETTINGS["help_option_names"] == ["-h", "--help"]
