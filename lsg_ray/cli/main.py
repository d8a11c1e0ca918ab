"""The `lsg` group, and what becomes of errors."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import click

from lsg_ray.cli import (
    catalogue,
    completion,
    doctor,
    exchange,
    experiments,
    explore,
    jobs,
    runs,
    stores,
)
from lsg_ray.cli.options import CONTEXT_SETTINGS
from lsg_ray.cli.output import printable, show, shown_warnings
from lsg_ray.errors import LsgError, masked, meant, out_of_memory
from lsg_ray.stages import GROUPS, all_stages

#: Commands written by hand, by group.
_BY_HAND = {
    "sampling": (runs.run, runs.sample, runs.estimate, catalogue.data, catalogue.spec),
    "store": (stores.info, stores.verify, stores.query, exchange.import_weights, exchange.export),
    "cluster": (jobs.submit, jobs.jobs),
    "project": (
        explore.explore,
        runs.report,
        experiments.experiment,
        doctor.doctor,
        completion.completion,
    ),
}
#: Exit codes after Ctrl-C and SIGTERM: 128 and the number of the signal.
INTERRUPTED, TERMINATED = 130, 143
#: Signal of a timer that tries again where an exception would have been dropped; Windows has none.
_AGAIN = getattr(signal, "SIGALRM", None)


class _Commands(click.Group):
    """Commands written by hand and those of stages, which are made when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(dict.fromkeys([*super().list_commands(ctx), *all_stages()]))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command = super().get_command(ctx, name)
        if command is None and name in all_stages():
            command = jobs.command_named(name)
            self.add_command(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0], self.list_commands(ctx)  # click itself knows those made so far
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name[:64]!r}{meant(name, known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for group, commands in _BY_HAND.items():
            groups[group] = [(str(c.name), c.get_short_help_str(88)) for c in commands]
        by_hand = {str(c.name) for commands in _BY_HAND.values() for c in commands}
        for name, (group, line) in all_stages().items():
            if name not in by_hand:
                groups[group].append((name, line))
        for group, rows in groups.items():
            if rows:
                with formatter.section(group.capitalize()):
                    formatter.write_dl(rows)


@click.group(cls=_Commands, context_settings=CONTEXT_SETTINGS)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=doctor.print_versions,
    help="Show the versions of lsg-ray, Python and the packages that matter, and exit.",
)
def cli() -> None:
    """Sample ensembles of neural-network weights and measure their geometry.

    \b
    Start:    lsg run jobs/specs/quickstart.yaml --out quickstart
    Sample:   lsg sample SPEC --out STORE        (run again to resume)
    Measure:  lsg COMMAND INPUT --out RESULT     (help: lsg COMMAND --help)
    """


for _command in (command for group in _BY_HAND.values() for command in group):
    cli.add_command(_command)


@contextlib.contextmanager
def _termination_as_interrupt(signals: list[int]) -> Iterator[None]:
    """Let SIGTERM unwind a command as Ctrl-C does, and record it; a second Ctrl-C ends it.

    Spot nodes, schedulers and job servers send SIGTERM some seconds before SIGKILL.  What is raised
    is a KeyboardInterrupt, the one exception that Ray lets pass through its waiting.
    """

    def unwind(number: int, frame: FrameType | None) -> None:
        if number != _AGAIN:
            signals.append(number)
        if len(signals) == 1:
            if _AGAIN is not None and _ignores_exceptions(frame):
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                return
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            _leave_at_once(signals[0])

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [signal.SIGTERM] if _AGAIN is None else [signal.SIGTERM, _AGAIN]
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as a shell's background jobs do
        handled.append(signal.SIGINT)
    before = {number: signal.signal(number, unwind) for number in handled}
    try:
        yield
    finally:
        if not signals:  # else the process ends, and may be interrupted in doing so
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)


def _ignores_exceptions(frame: FrameType | None) -> bool:
    """Return whether Python drops what is raised here: in finalizers, and hooks of a fork.

    Of the modules that are loaded, logging has such hooks.
    """
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code.co_filename == logging.__file__:
            return True
        frame = frame.f_back
    return False


def _leave_at_once(first: int) -> None:
    """End the process without waiting for anything; a private Ray is killed."""
    session = sys.modules.get("lsg_ray.cluster.session")
    if session is not None:
        session.leave_at_once()
    os.write(2, b"\nlsg: interrupted again; run the same command again\n")
    os._exit(TERMINATED if first == signal.SIGTERM else INTERRUPTED)


def main(
    arguments: list[str] | None = None, command: click.Command | None = None, name: str = "lsg"
) -> None:
    """Run the command line and exit.

    0: done, 1: failed, 2: bad usage or input, 130: interrupted, 143: terminated.
    """
    words = sys.argv[1:] if arguments is None else arguments
    signals: list[int] = []
    try:
        with _termination_as_interrupt(signals), shown_warnings():
            try:
                (command or cli).main(args=arguments, standalone_mode=False, prog_name=name)
            except MemoryError:
                raise
            except Exception:
                if signals:  # it is what the interrupt has become on its way
                    raise KeyboardInterrupt from None
                raise
        _exit(0)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        show(text.getvalue().rstrip("\n"), err=True)
        _fail(words, error.format_message(), error.exit_code)
    except LsgError as error:
        _fail(words, str(error), error.exit_code, echo=True)
    except (KeyboardInterrupt, click.Abort):
        terminated = signals[:1] == [signal.SIGTERM]
        end, code = ("terminated", TERMINATED) if terminated else ("interrupted", INTERRUPTED)
        _fail(words, f"{end}; {_again(words)}", code, echo=True)
    except BrokenPipeError:
        _close_output()
        sys.exit(1)
    except OSError as error:
        message = f"{printable(str(error.filename or 'output'))}: {error.strerror or error}"
        _fail(words, message, 1, echo=True)
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        _fail(words, out_of_memory(error), 1, echo=True)


def _lacks_memory(error: Exception) -> bool:
    """Return whether Python, torch, which has no MemoryError, or the system ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    message = str(error)
    known = ("not enough memory", "can't allocate memory", "can't start new thread")
    return type(error).__name__ == "OutOfMemoryError" or any(text in message for text in known)


def _again(words: list[str]) -> str:
    """Return what the same command would do after an interruption: not all go on where they were.

    A stage does if it keeps what its tasks have done, or writes a store.
    """
    from lsg_ray.stages import all_stages, stage_of

    name = next((word for word in words if not word.startswith("-")), "")
    if name in all_stages():
        stage = stage_of(name)
        if not (stage.accepts("checkpoints") or stage.makes == "store"):
            return "nothing is kept of it: the same command begins anew"
    return "run the same command again to resume"


def _fail(words: list[str], message: str, code: int, echo: bool = False) -> None:
    if echo:
        show(f"lsg: {message}", err=True)
    if "--json" in words:
        try:
            click.echo(json.dumps({"error": masked(message), "exit_code": code}))
        except OSError:
            _close_output()
    _exit(code)


def _exit(code: int) -> None:
    """End the process; where a lost Ray was left behind in it, without tidying up."""
    watch = sys.modules.get("lsg_ray.cluster.watch")
    if watch is not None and watch.is_abandoned():
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _close_output() -> None:
    """Send what is still to be printed nowhere, so that Python has nothing to flush at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
