"""What a training run writes of its progress: two tables, and the same for TensorBoard."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from shls.runtime.errors import BadInput

from .distributed import rank
from .events import EventFile


class Progress(NamedTuple):
    """One optimiser step, as told to the progress bar and written to the log; validated are only a few."""

    step: int
    loss: float
    scalars: dict[str, float]
    lr: float
    images: int
    seconds: float
    validation: dict[str, float]

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds


class RunLog:
    """The run's tables, cut back to the step that it resumes from, and the same for TensorBoard."""

    def __init__(self, out: Path, step: int) -> None:
        self._out = out
        self._steps, self._validations = (_Table(out / f"{name}.csv", step) for name in ("log", "validation"))
        self._events = EventFile(out)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()

    def write(self, at: Progress) -> None:
        """Raises BadInput where the disk does not take it."""
        try:
            self._write(at)
        except OSError as error:
            raise BadInput(f"{self._out}: cannot be written ({error.strerror}); free some space and resume") from error

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
        self._events.add(at.step, scalars)


class _Table:
    """A CSV file whose first column is the step; rows after the one resumed from are dropped."""

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
