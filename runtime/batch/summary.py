"""Summary of a batch: a text table, JSON, CSV and an HTML page with thumbnails."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from .._support.files import replace_file
from .tasks import Outcome

FIGURES = ("state", "frames", "objects", "worst_confidence", "worst_frame", "lost_frames", "seconds", "reason")
"""Columns of the CSV file and of the page, besides the names and the manifest's own columns."""
SHOWN = 40
"""Largest number of rows in the text table; further rows are in the files."""


class Summary(NamedTuple):
    """Outcomes of a batch in the order of its rows.

    outcomes : one per row that ended
    missing : outputs of rows that were not reached

    Examples
    --------
    >>> Summary([Outcome("a", "a.mp4", "failed", reason="a.mp4: no video")], []).ok
    False
    """

    outcomes: list[Outcome]
    missing: list[str]

    @property
    def failed(self) -> list[Outcome]:
        """Outcomes of the rows that failed."""
        return [outcome for outcome in self.outcomes if outcome.state == "failed"]

    @property
    def ok(self) -> bool:
        """True if every row has a result."""
        return not self.failed and not self.missing

    def counts(self) -> dict[str, int]:
        """Return the number of rows by state."""
        states = [outcome.state for outcome in self.outcomes]
        return {state: states.count(state) for state in ("done", "kept", "failed")} | {"missing": len(self.missing)}

    def table(self) -> str:
        """Return a text table: failures first, then the least confident videos."""
        rows = sorted(self.outcomes, key=_doubt)[:SHOWN]
        width = max([5, *(len(row.output) for row in rows)])
        lines = [f"{'video':<{width}}  state   frames  objects  lost  worst"]
        for row in rows:
            if row.state == "failed":
                lines.append(f"{row.output:<{width}}  failed  {row.reason}")
            else:
                worst = (
                    "-" if row.worst_confidence is None else f"{row.worst_confidence:.2f} in frame {row.worst_frame}"
                )
                figures = f"{row.frames:>7} {row.objects:>8} {row.lost_frames:>5}"
                lines.append(f"{row.output:<{width}}  {row.state:<6} {figures}  {worst}")
        if len(self.outcomes) > SHOWN:
            lines.append(f"... {len(self.outcomes) - SHOWN} more")
        return "\n".join(lines)

    def sentence(self) -> str:
        """Return the counts as one line.

        Examples
        --------
        >>> Summary([Outcome("a", "a.mp4", "done", frames=50)], []).sentence()
        '1 videos: 1 done, 0 finished before, 0 failed; 50 frames'
        """
        counts = self.counts()
        text = (
            f"{len(self.outcomes) + counts['missing']} videos: {counts['done']} done, {counts['kept']} finished before"
        )
        text += f", {counts['failed']} failed" + (f", {counts['missing']} not reached" if self.missing else "")
        return f"{text}; {sum(outcome.frames for outcome in self.outcomes if outcome.state == 'done')} frames"

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        videos = [{key: value for key, value in one.to_dict().items() if key != "source"} for one in self.outcomes]
        return {"counts": self.counts(), "videos": videos, "missing": self.missing}


def write_summary(out: Path, summary: Summary) -> None:
    """Write `summary.json`, `summary.csv` and `summary.html` into a folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_summary(Path(folder), Summary([], []))
    ...     sorted(file.name for file in Path(folder).iterdir())
    ['summary.csv', 'summary.html', 'summary.json']
    """
    replace_file(out / "summary.json", (json.dumps(summary.to_dict(), indent=1) + "\n").encode())
    replace_file(out / "summary.csv", _csv(summary.outcomes).encode())
    replace_file(out / "summary.html", _page(summary).encode())


def _doubt(outcome: Outcome) -> tuple[bool, float]:
    return outcome.state != "failed", 1.0 if outcome.worst_confidence is None else outcome.worst_confidence


def _own_columns(outcomes: Iterable[Outcome]) -> list[str]:
    return list(dict.fromkeys(key for outcome in outcomes for key in outcome.columns))


def _csv(outcomes: list[Outcome]) -> str:
    own = _own_columns(outcomes)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "output", *FIGURES, "digest", *own])
    for one in outcomes:
        figures = ["" if (value := getattr(one, name)) is None else value for name in FIGURES]
        writer.writerow([one.video, one.output, *figures, one.digest, *(one.columns.get(key, "") for key in own)])
    return text.getvalue()


STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; --line: #8884; --bad: #c0392b }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } p { margin: .3rem 0 1.2rem }
table { border-collapse: collapse; width: 100% } td, th { padding: .5rem; text-align: left; vertical-align: top }
tr + tr { border-top: 1px solid var(--line) } img { width: 150px; display: block; border-radius: 3px }
.failed { color: var(--bad) } small { opacity: .7 } figure { margin: 0 } td.pictures { display: flex; gap: .4rem }
"""


def _page(summary: Summary) -> str:
    own = _own_columns(summary.outcomes)
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in ("video", "first, middle, worst frame", "result", *own))
    rows = "\n".join(_page_row(one, own) for one in sorted(summary.outcomes, key=_doubt))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>shls batch</title>\n'
        f"<style>{STYLE}</style>"
        f"</head>\n<body><h1>shls batch</h1>\n<p>{html.escape(summary.sentence())}</p>\n"
        f"<table><tr>{heads}</tr>\n{rows}\n</table></body></html>\n"
    )


def _page_row(one: Outcome, own: list[str]) -> str:
    if one.state == "failed":
        pictures, result = "", f'<span class="failed">{html.escape(one.reason)}</span>'
    else:
        folder = quote(one.output)
        pictures = "".join(
            f'<img loading="lazy" src="{folder}/{name}.jpg" alt="{name} frame">'
            for name in ("first", "middle", "worst")
        )
        worst = (
            ""
            if one.worst_confidence is None
            else f"<br>confidence {one.worst_confidence:.2f} in frame {one.worst_frame}"
        )
        lost = f"<br>an object is not visible in {one.lost_frames} frames" if one.lost_frames else ""
        result = f"{one.frames} frames, {one.objects} objects{worst}{lost}"
    cells = "".join(f"<td>{html.escape(str(one.columns.get(key, '')))}</td>" for key in own)
    name = f"{html.escape(one.output)}<br><small>{html.escape(one.video)}</small>"
    return f'<tr><td>{name}</td><td class="pictures">{pictures}</td><td>{result}</td>{cells}</tr>'
