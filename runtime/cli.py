"""The command line. Thin: the commands lie in `commands_*.py`, and each imports what it needs when run."""

from __future__ import annotations

import sys

import typer

from shls.runtime import (
    commands_calib,
    commands_export,
    commands_measure,
    commands_model,
    commands_pseudo,
    commands_run,
    commands_train,
)
from shls.runtime.errors import ShlsError

INTERRUPTED = 130

app = typer.Typer(
    help="Follow objects through video: self-supervised, small, exportable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(commands_run.run)
app.command()(commands_run.serve)
app.command()(commands_run.demo)
app.command("eval")(commands_run.evaluate)
app.command()(commands_pseudo.pseudo)
app.command()(commands_train.train)
app.command()(commands_train.train_refiner)
app.command()(commands_export.export)
app.command()(commands_calib.calibrate)
app.command()(commands_calib.sensitivity)
app.command()(commands_model.verify)
app.command()(commands_model.info)
app.command()(commands_measure.doctor)
app.command()(commands_measure.profile)
app.command()(commands_measure.bench)


def main() -> None:
    """The `shls` command: errors of the user's are one line and exit code 2, an interrupt is 130."""
    try:
        app()
    except ShlsError as error:
        typer.echo(f"shls: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer ends a command so, without a word
            typer.echo("shls: interrupted; what was written so far is complete", err=True)
        raise
