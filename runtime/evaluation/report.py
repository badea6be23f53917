"""Results of an evaluation, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import NamedTuple

from ..errors import BadInput
from .metrics import Score
from .scoring import Presence, Rate

WIDTHS = (7, 5, 5, 5, 14, 14, 8)
"""Widths of the columns after the first, characters."""
HEADINGS = ("objects", "J", "F", "J&F", "false loss", "false alarm", "frames/s")


class Result(NamedTuple):
    """Result of one sequence.

    Attributes
    ----------
    name : str
        Name of the sequence.
    scores : dict of int to Score
        Object id -> mean J and F.
    presence : dict of int to Presence
        Object id -> errors about its presence.
    fps : float
        Frames per second of segmentation alone, from the median time of a frame.
    notes : tuple of str
        Messages about files that were left out and objects that have no score.

    Examples
    --------
    >>> Result("bear", {1: Score(0.9, 0.8)}, {1: Presence(0, 80)}, 10.0).total
    Presence(lost=0, present=80, alarms=0, absent=0)
    """

    name: str
    scores: dict[int, Score]
    presence: dict[int, Presence]
    fps: float
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> Presence:
        """Sum of the errors about presence over the objects."""
        return sum(self.presence.values(), Presence())


class Report(NamedTuple):
    """Results of a set in one reading.

    Attributes
    ----------
    results : list of Result
        Results in the order of the set file.

    Examples
    --------
    >>> report = Report([Result("bear", {1: Score(0.9, 0.8)}, {1: Presence(2, 80)}, 10.0)])
    >>> print(report.table())
    sequence  objects      J      F    J&F      false loss     false alarm  frames/s
    bear            1  0.900  0.800  0.850      2/80  2.5%             0/0      10.0
    mean            1  0.900  0.800  0.850      2/80  2.5%             0/0      10.0
    """

    results: list[Result]

    @property
    def total(self) -> Presence:
        """Sum of the errors about presence over all objects of all sequences."""
        return sum((result.total for result in self.results), Presence())

    def mean(self) -> Score:
        """Return the mean over all objects of all sequences, as DAVIS 2017 does; each object weighs the same.

        Raises
        ------
        BadInput
            If no object was scored.
        """
        mean = self._mean()
        if mean is None:
            raise BadInput("set: no object was scored (expected at least 3 annotations of a sequence). Add annotations")
        return mean

    def _mean(self) -> Score | None:
        return _mean(score for result in self.results for score in result.scores.values())

    def fps(self) -> float:
        """Return the mean frames per second over the sequences."""
        return fmean(result.fps for result in self.results)

    def to_dict(self) -> dict[str, object]:
        """Return the content of the JSON file of `shls eval --json`."""
        return {
            "mean": _numbers(self._mean(), self.total),
            "sequences": {
                result.name: _numbers(_mean(result.scores.values()), result.total)
                | {
                    "fps": round(result.fps, 2),
                    "notes": list(result.notes),
                    "objects": {str(k): _numbers(score, result.presence[k]) for k, score in result.scores.items()},
                }
                for result in self.results
            },
        }

    def table(self) -> str:
        """Return one row per sequence and one for the mean; errors about presence are sums."""
        rows = [
            (result.name, *_cells(len(result.scores), _mean(result.scores.values()), result.total, result.fps))
            for result in self.results
        ]
        return _table("sequence", [*rows, ("mean", *self._cells())])

    def _cells(self) -> tuple[str, ...]:
        objects = sum(len(result.scores) for result in self.results)
        return _cells(objects, self._mean(), self.total, self.fps())


def readings_table(reports: Mapping[str, Report]) -> str:
    """Return one row per reading.

    Parameters
    ----------
    reports : mapping of str to Report
        Name of a reading -> report.

    Examples
    --------
    >>> report = Report([Result("bear", {1: Score(0.9, 0.8)}, {1: Presence(2, 80)}, 10.0)])
    >>> print(readings_table({"forward": report}))
    reading  objects      J      F    J&F      false loss     false alarm  frames/s
    forward        1  0.900  0.800  0.850      2/80  2.5%             0/0      10.0
    """
    return _table("reading", [(name, *report._cells()) for name, report in reports.items()])


def _table(title: str, rows: list[tuple[str, ...]]) -> str:
    wide = max(len(row[0]) for row in [(title,), *rows])
    lines = [(title, *HEADINGS), *rows]
    return "\n".join(
        "  ".join([f"{name:{wide}}", *(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))])
        for name, *cells in lines
    )


def _cells(objects: int, score: Score | None, presence: Presence, fps: float) -> tuple[str, ...]:
    means = ["-"] * 3 if score is None else [f"{value:.3f}" for value in (*score, (score.j + score.f) / 2)]
    return (str(objects), *means, _rate(presence.false_loss), _rate(presence.false_alarm), f"{fps:.1f}")


def _rate(rate: Rate) -> str:
    return f"{rate.frames}/{rate.of} {rate.share:5.1%}" if rate.of else "0/0"


def _mean(scores: Iterable[Score]) -> Score | None:
    columns = list(zip(*scores, strict=True))
    return Score(*map(fmean, columns)) if columns else None


def _numbers(score: Score | None, presence: Presence) -> dict[str, object]:
    j, f = score or (None, None)
    return {
        "J": None if j is None else round(j, 6),
        "F": None if f is None else round(f, 6),
        "J&F": None if j is None or f is None else round((j + f) / 2, 6),
        "false_loss": _rate_numbers(presence.false_loss),
        "false_alarm": _rate_numbers(presence.false_alarm),
    }


def _rate_numbers(rate: Rate) -> dict[str, object]:
    return {"frames": rate.frames, "of": rate.of, "share": round(rate.share, 6)}
