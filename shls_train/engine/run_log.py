"""Progress of a training run: two CSV tables and TensorBoard event files."""

from __future__ import annotations

import csv
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shls.runtime.errors import BadInput

from .distributed import rank

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FLUSH_SECONDS = 10
"""Longest time between writes of the event file."""


class Progress(NamedTuple):
    """Result of one optimiser step, for the progress bar and the log.

    Attributes
    ----------
    step : int
        Optimiser steps done so far.
    loss : float
        Mean loss over all processes.
    scalars : dict of str to float
        Further values of the stage, for example an accuracy.
    lr : float
        Learning rate of the step.
    images : int
        Images of the step, over all processes.
    seconds : float
        Duration of the step.
    validation : dict of str to float
        Validation scores by name; empty except at checkpoints.

    Examples
    --------
    >>> Progress(200, 1.5, {}, 2e-3, images=24, seconds=0.5, validation={}).images_per_second
    48.0
    """

    step: int
    loss: float
    scalars: dict[str, float]
    lr: float
    images: int
    seconds: float
    validation: dict[str, float]

    @property
    def images_per_second(self) -> float:
        """Training speed of this step."""
        return self.images / self.seconds


class RunLog:
    """Writer of ``log.csv``, ``validation.csv`` and the TensorBoard event file of a run.

    Parameters
    ----------
    out : Path
        Training folder.
    step : int
        Step that the run resumes from. Later rows of existing tables are removed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RunLog(Path(folder), 0) as log:
    ...         log.write(Progress(1, 0.5, {}, 1e-3, images=2, seconds=1.0, validation={}))
    ...     print(Path(folder, "log.csv").read_text())
    step,loss,lr,images_per_second
    1,0.50000,1.000e-03,2.00
    <BLANKLINE>
    """

    def __init__(self, out: Path, step: int) -> None:
        self._out, self._resumed = out, step
        self._steps, self._validations = (_Table(out / f"{name}.csv", step) for name in ("log", "validation"))
        self._events: SummaryWriter | None = None
        self._no_events = False

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._events:
            with suppress(OSError):  # `write` has raised it before; the tables have the same numbers
                self._events.close()

    def write(self, at: Progress) -> None:
        """Append one step to the tables and the event file.

        Raises
        ------
        BadInput
            If a file cannot be written.
        """
        try:
            self._write(at)
        except OSError as error:
            raise BadInput(
                f"{self._out}: log cannot be written ({error.strerror}). Free some space and resume."
            ) from error

    def _write(self, at: Progress) -> None:
        trained = {"loss": at.loss, **at.scalars}
        texts = {name: f"{value:.5f}" for name, value in trained.items()}
        rest = {"lr": f"{at.lr:.3e}", "images_per_second": f"{at.images_per_second:.2f}"}
        self._steps.write({"step": str(at.step), **texts, **rest})
        scalars = {f"train/{name}": value for name, value in trained.items()}
        scalars |= {"lr": at.lr, "images_per_second": at.images_per_second}
        if at.validation:
            self._validations.write({"step": str(at.step)} | {n: f"{v:.5f}" for n, v in at.validation.items()})
            scalars |= {f"validation/{name}": value for name, value in at.validation.items()}
        if self._events is None and not self._no_events:
            self._events = self._open_events()
        if self._events:
            for name, value in scalars.items():
                self._events.add_scalar(name, value, at.step)

    def _open_events(self) -> SummaryWriter | None:
        """Open an event file that replaces the steps after the resumed step; None without tensorboard."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            logging.getLogger("shls").warning(
                "TensorBoard event files are not written: tensorboard is not installed. Run `pip install tensorboard`."
            )
            self._no_events = True
            return None
        purge = self._resumed + 1 if self._resumed else None
        return SummaryWriter(str(self._out), purge_step=purge, flush_secs=FLUSH_SECONDS)


class _Table:
    """CSV file whose first column is the step; rows after the resumed step are removed."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        if rank() == 0 and path.exists():
            header, *rows = path.read_text().splitlines(keepends=True) or [""]
            kept = [row for row in rows if int(row.split(",")[0]) <= step]
            path.write_text("".join([header, *kept]) if kept else "")

    def write(self, row: dict[str, str]) -> None:
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if file.tell() == 0:
                writer.writerow(row)
            writer.writerow(row.values())
