"""The command line. Thin: the commands are in the other modules here; each imports what it needs when run."""

from __future__ import annotations

import sys

import typer

from .._support.extras import missing
from ..errors import ShlsError
from . import calibrate, evaluate, export, measure, model, pseudo, run, train

INTERRUPTED = (130, 143)
"""Exit codes of a command that Ctrl-C or SIGTERM ended: 128 and the signal's number."""

app = typer.Typer(
    help="Follow objects through video: self-supervised, small, exportable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command()(run.serve)
app.command()(run.demo)
app.command("eval")(evaluate.evaluate)
app.command()(pseudo.pseudo)
app.command()(train.train)
app.command()(train.train_refiner)
app.command()(export.export)
app.command()(calibrate.calibrate)
app.command()(calibrate.sensitivity)
app.command()(model.verify)
app.command()(model.info)
app.command()(measure.doctor)
app.command()(measure.profile)
app.command()(measure.bench)


def main() -> None:
    """The `shls` command: errors of the user's are one line and exit code 2, an interrupt is 130."""
    try:
        app()
    except ShlsError as error:
        typer.echo(f"shls: {error}", err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        known = missing(error)
        if known is None:
            raise
        typer.echo(f"shls: {known}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code in INTERRUPTED:  # typer ends a command so, without a word
            typer.echo("shls: interrupted; what was written so far is complete", err=True)
        raise
