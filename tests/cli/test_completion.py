"""Completion by the Tab key, in real shells."""

import os
import shutil
import subprocess
import sys
import time

import click
import pytest

from lsg_ray.cli import completion
from lsg_ray.cli.main import cli
from lsg_ray.spec import Spec

from .test_help import HEAVY


@pytest.fixture
def environment(tmp_path):
    """The command on the path, and a folder of files."""
    script = tmp_path / "bin" / "lsg"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m lsg_ray.cli "$@"\n')
    script.chmod(0o755)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "quickstart.yaml").touch()
    path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path)}


def replies(environment, shell: str, *words: str) -> list[str]:
    """Return what a shell is told: lines of a kind and a value."""
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    asked["_LSG_COMPLETE"] = f"{shell}_complete"
    done = subprocess.run(
        ["lsg"], capture_output=True, text=True, env=environment | asked, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_words__are_completed_to_what_there_is(environment):
    for words, wanted in (
        (("lsg", "interp"), ["plain,interpolate"]),
        (("lsg", "scan", "--refer"), ["plain,--references"]),
        (("lsg", "sample", "s.yaml", "--set", "training.epo"), ["plain,training.epochs="]),
        (("lsg", "data", "fetch", "fash"), ["plain,fashion-mnist"]),
        (("lsg", "data", "fetch", "./t"), ["file,./t"]),
        (("lsg", "experiment", "spec", "sg-fig2"), ["plain,sg-fig2"]),
        (("lsg", "submit", "s", "--stage", "mome"), ["plain,moments"]),
        (("lsg", "moments", "quick"), ["file,quick"]),
        (("lsg", "sample", "s.yaml", "--out", "e"), ["file,e"]),
        (("lsg", "completion", "z"), ["plain,zsh"]),
    ):
        assert replies(environment, "bash", *words) == wanted, words


def test_fields__are_those_of_specifications():
    given = list(completion.fields())
    for name in given:
        section, _, field = name.rstrip("=").partition(".")
        assert section in Spec.model_fields
        if field:
            assert field in Spec.model_fields[section].annotation.model_fields
    assert {"training.epochs=", "dataset.name=", "ensemble.count=", "network.widths="} <= {*given}


def test_every_path__is_completed_by_the_shell():
    context = click.Context(cli)
    for name in cli.list_commands(context):
        for parameter in cli.get_command(context, name).params:
            if parameter.type.name == "path" and (name, parameter.name) != ("data", "name"):
                (item,) = parameter.shell_complete(context, "x")
                assert item.type == "file", (name, parameter.name)


def test_completion__loads_nothing_heavy(environment):
    code = (
        "import sys\nfrom lsg_ray.cli.main import main\n"
        "try: main([])\nexcept SystemExit: pass\n"
        f"print(*[n for n in {HEAVY} if n in sys.modules], file=sys.stderr)"
    )
    for words in (
        "lsg scan --re",
        "lsg sample s --set t",
        "lsg experiment run s",
        "lsg data fetch m",
    ):
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        done = subprocess.run(
            [sys.executable, "-c", code.replace("main([])", "main([], name='lsg')")],
            capture_output=True, text=True, check=True,
            env=environment | asked | {"_LSG_COMPLETE": "bash_complete"},
        )  # fmt: skip
        assert (done.stderr, "plain," in done.stdout) == ("\n", True), words


def test_bash__completes_what_is_typed(environment, tmp_path):
    """Keys typed into an interactive bash: commands, fields without a space after =, and files."""
    rc = tmp_path / "rc"
    rc.write_text(
        'PS1="> "\nbind "set enable-bracketed-paste off"\neval "$(lsg completion bash)"\n'
    )
    keys = "lsg sa\ts.yaml --set training.epo\t7 --out quick\t"
    assert typed(
        environment, tmp_path, ["bash", "--noprofile", "--rcfile", str(rc), "-i"], keys
    ) == ("lsg sample s.yaml --set training.epochs=7 --out quickstart.yaml")


def typed(environment, folder, shell: list[str], keys: str) -> str:
    """Return the line that a shell has after keys were typed, with ``echo`` put before it."""
    import pty
    import select

    leader, follower = pty.openpty()
    child = subprocess.Popen(
        shell, stdin=follower, stdout=follower, stderr=follower, cwd=folder / "here",
        env={**environment, "TERM": "dumb"}, start_new_session=True,
    )  # fmt: skip
    os.close(follower)

    def read_until(mark: str, seconds: float = 60) -> str:
        shown, end = "", time.monotonic() + seconds
        while mark not in shown and time.monotonic() < end:
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 4096).decode()
        return shown

    try:
        assert "> " in read_until("> ")
        shown = ""
        for part in keys.split("\t")[:-1]:
            os.write(leader, f"{part}\t".encode())
            # The key is answered when what follows is shown: a mark after it is deleted again.
            os.write(leader, b"@")
            shown += read_until("@")
            os.write(leader, b"\x7f")
        os.write(leader, b"\x01echo =\x05=\n")  # to the beginning of the line, and to its end
        answer = read_until("=\r\n> ")
    finally:
        child.kill()
        child.wait()
        os.close(leader)
    return answer.split("\r\n")[1].strip("= ")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_of_other_shells__are_accepted_by_them(environment, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = subprocess.run(
        ["lsg", "completion", shell], capture_output=True, text=True, env=environment, check=True
    ).stdout
    checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
