"""The `shls` command. Each command is in another module of this package and imports its packages when it runs."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from .._support.extras import missing
from ..errors import ShlsError
from . import (
    batch,
    calibrate,
    convert,
    evaluate,
    export,
    labelme,
    mark,
    measure,
    model,
    pseudo,
    run,
    serve,
    train,
    warm,
)

INTERRUPTED = (130, 143)
"""Exit codes of a command that Ctrl-C or SIGTERM ended: 128 and the signal's number."""

app = typer.Typer(
    help="Follow marked objects through video; train, export and measure the networks for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command()(serve.serve)
app.command()(run.demo)
app.command()(mark.mark)
app.command()(batch.batch)
app.command()(convert.convert)
app.command()(labelme.labelme)
app.command("eval")(evaluate.evaluate)
app.command()(pseudo.pseudo)
app.command()(train.train)
app.command()(train.train_refiner)
app.command()(train.train_prompter)
app.command()(export.export)
app.command()(calibrate.calibrate)
app.command()(calibrate.sensitivity)
app.command()(model.verify)
app.command()(model.info)
app.command()(measure.doctor)
app.command()(warm.warm)
app.command()(measure.profile)
app.command()(measure.bench)


class _Messages(logging.Handler):
    """Write log records to standard error, as lines that begin with the command's name."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"shls: {self.format(record)}", err=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        from shls import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def set_up(
    version: Annotated[  # noqa: ARG001  # the callback has printed it
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print informational messages too, not only warnings, to standard error.")
    ] = False,
) -> None:
    """Send log messages to standard error.

    Examples
    --------
    >>> set_up(verbose=True)
    >>> logging.getLogger("shls").level == logging.INFO
    True
    >>> set_up()
    >>> logging.getLogger("shls").level == logging.WARNING
    True
    """
    log = logging.getLogger("shls")
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    if not any(isinstance(handler, _Messages) for handler in log.handlers):
        log.addHandler(_Messages())


def main() -> None:
    """Run the `shls` command.

    An error of the user prints one line and exits with 2, an interrupt exits with 130. Any other exception is a bug
    and keeps its traceback.

    Examples
    --------
    >>> import sys
    >>> from unittest.mock import patch
    >>> with patch.object(sys, "argv", ["shls", "info", "absent.onnx"]):  # doctest: +SKIP
    ...     main()
    shls: absent.onnx: no such model. Export one with `shls export`, or leave --model out for the shipped one.
    """
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
        if end.code in INTERRUPTED:  # typer ends an interrupted command silently
            typer.echo("shls: interrupted. Files that were written so far are complete.", err=True)
        raise
