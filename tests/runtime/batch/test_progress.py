"""The display of a batch on a terminal and in a log."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from shls.runtime.batch.progress import Display, as_clock, remaining
from shls.runtime.batch.tasks import Outcome, Row, Task, Wanted

DONE = Outcome("a", "a.mp4", "done", frames=9, seconds=2.0)
KEPT = Outcome("b", "b.mp4", "kept", frames=9, seconds=2.0)
FAILED = Outcome("c[red]", "c.mp4", "failed", reason="c.mp4: no video")


def shown(terminal: bool) -> str:
    text = StringIO()
    task = Task(Row("", "d.mp4", "d"), "", {}, Path("out"), Wanted())
    with Display(Console(file=text, force_terminal=terminal, width=120)) as display:
        display.plan(4, {"a": 10, "c[red]": 10, "d": 80})
        display.begun(task)
        for outcome in (KEPT, DONE, FAILED):
            display.ended(outcome)
    return text.getvalue()


def test_a_log_has_a_line_per_video() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "4 videos, 3 to compute"
    assert lines[1].startswith("2/4 a: 9 frames in 2.0 s, remaining 0:00:0"), "what is kept has no line"
    assert lines[2:] == ["3/4 c[red]: failed: c.mp4: no video"]


def test_a_terminal_has_a_bar() -> None:
    text = shown(terminal=True)
    assert "3/4 videos, 1 failed" in text
    assert "3/4 c[red]: failed: c.mp4: no video" in re.sub("\x1b.*?m", "", text)
    assert "9 frames in" not in text


def test_the_estimate_weighs_videos_by_their_size() -> None:
    assert remaining(20, 100, 60) == 240
    assert as_clock(remaining(20, 100, 3600)) == "4:00:00"
    assert as_clock(remaining(0, 100, 60)) == "-"
