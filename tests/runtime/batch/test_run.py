"""A whole batch: what is skipped, tried again and refused, workers that are killed, and the summary."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shls.runtime.batch.local import LocalEngine, automatic_jobs
from shls.runtime.batch.output_folder import OutputFolder, finished
from shls.runtime.batch.run import run_batch
from shls.runtime.batch.scheduler import Engine
from shls.runtime.batch.summary import Summary
from shls.runtime.batch.tasks import Outcome, Row, Task, Wanted, failure
from shls.runtime.batch.worker import run_task
from shls.runtime.errors import BadInput
from tests.fake_segmenters import Follows
from tests.runtime.batch import clips, here
from tests.runtime.batch.here import Here

ROOT = Path(__file__).parents[3]
COMMON = {"model": "played"}


def rows_of(folder: Path, names: str) -> list[Row]:
    return [Row(name, str(folder / f"{name}.mp4"), name, mask=folder / f"{name}.png") for name in names.split()]


def run(
    out: Path, rows: list[Row], opened: Callable[[], Any] | Engine = clips.follows, jobs: int = 1, **options: Any
) -> Summary:
    folder = OutputFolder(out)
    engine = LocalEngine(opened, 1) if callable(opened) else opened
    with folder.locked():
        folder.check_settings(COMMON)
        return run_batch(rows, folder, COMMON, Wanted(), lambda _: (engine, jobs), **options)


def states(summary: Summary) -> dict[str, str]:
    return {one.output: one.state for one in summary.outcomes}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Three good videos, one that cannot be decoded, one without a file."""
    for name in "abc":
        clips.write_clip(tmp_path / f"{name}.mp4")
    clips.write_clip(tmp_path / "bad.mp4").write_bytes(b"no video" * 50)
    return tmp_path


def test_worker_processes(videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two workers; some videos cannot be read, one kills its worker each time, and one only the first time."""
    clips.write_clip(videos / "big.mp4", shade=250)
    clips.write_clip(videos / "once.mp4", shade=180)
    opened = partial(clips.deadly, tmp_path / "died")
    with caplog.at_level("WARNING", "shls"):
        summary = run(tmp_path / "out", rows_of(videos, "a big bad none b once c"), opened, jobs=2)
    said = [line for line in caplog.messages if "The video is tried once more, alone." in line]
    assert sorted(Path(line.partition(":")[0]).name for line in said) == ["big.mp4", "once.mp4"]
    found = {"a": "done", "big": "failed", "bad": "failed", "none": "failed", "b": "done", "once": "done", "c": "done"}
    assert states(summary) == found
    reasons = {one.output: one.reason for one in summary.failed}
    twice = "big.mp4: its worker died twice, the second time alone on the machine (got ended by signal 9"
    assert twice in reasons["big"]
    assert "none.mp4: no such file or folder" in reasons["none"]
    assert len({one.digest for one in summary.outcomes if one.state == "done"}) == 1
    assert (tmp_path / "died").exists()
    assert not summary.ok
    assert states(run(tmp_path / "out", rows_of(videos, "big a"), Here(Follows()))) == {"big": "failed", "a": "kept"}


def test_finished_videos_are_skipped(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(out, rows_of(videos, "a b"), Here(Follows()))
    before = (out / "a/result.json").stat().st_mtime_ns
    engine = Here(Follows())
    again = run(out, rows_of(videos, "a b c"), engine)
    assert states(again) == {"a": "kept", "b": "kept", "c": "done"}
    assert engine.ran == ["c"]
    assert (out / "a/result.json").stat().st_mtime_ns == before
    assert [one.digest for one in again.outcomes[:2]] == [one.digest for one in first.outcomes]


def test_what_a_result_depends_on(videos: Path, tmp_path: Path) -> None:
    out, rows = tmp_path / "out", rows_of(videos, "a b c")
    run(out, rows, Here(Follows()))
    os.utime(videos / "a.mp4")  # another time, the same content
    clips.write_clip(videos / "b.mp4", shade=90)  # another content, the same mask
    mask = clips.first_mask()
    mask[0, 0] = 1
    clips.write_mask(videos / "c.png", mask)
    assert states(run(out, rows, Here(Follows()))) == {"a": "kept", "b": "done", "c": "done"}


def test_failures_are_remembered_and_retried_on_demand(videos: Path, tmp_path: Path) -> None:
    out, rows = tmp_path / "out", rows_of(videos, "bad none")
    run(out, rows, Here(Follows()))
    engine = Here(Follows())
    summary = run(out, rows, engine)
    assert states(summary) == {"bad": "failed", "none": "failed"}
    assert engine.ran == []
    assert "bad.mp4: " in summary.outcomes[0].reason
    run(out, rows, engine, retry_failed=True)
    assert engine.ran == ["bad"]
    clips.write_clip(videos / "bad.mp4")
    clips.write_clip(videos / "none.mp4")
    assert run(out, rows, engine).ok, "what has changed is computed without asking"


def test_a_folder_of_another_model(videos: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", rows_of(videos, "a"), Here(Follows()))
    folder = OutputFolder(tmp_path / "out")
    with pytest.raises(BadInput, match=r"out: has results of other settings \(got model played; expected model new"):
        folder.check_settings({"model": "new"})
    folder.check_settings({"model": "new"}, replace=True)
    folder.check_settings({"model": "new"})


def test_a_folder_that_is_not_ours_is_not_replaced(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "out/a").mkdir(parents=True)
    (tmp_path / "out/a/thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="out/a: exists and is no result of `shls batch`"):
        run(tmp_path / "out", rows_of(videos, "a"), Here(Follows()))
    assert (tmp_path / "out/a/thesis.txt").read_text() == "precious"


def test_a_full_disk_stops_the_batch(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Here(Follows())
    ended = []

    def full(_: object, task: Task) -> Outcome:
        ended.append(task.row.output)
        if len(ended) == 2:
            return failure(task, "o.jsonl: cannot be written (No space left on device).", fatal=True)
        return run_task(Follows(), task)  # type: ignore[arg-type]

    monkeypatch.setattr(here, "run_task", full)
    said = r"No space left on device\). The batch stopped: 1 of 3 videos have results. Resume it later"
    with pytest.raises(BadInput, match=said):
        run(tmp_path / "out", rows_of(videos, "a b c"), engine)
    assert ended == ["a", "b"], "nothing more is begun"
    assert json.loads((tmp_path / "out/summary.json").read_text())["missing"] == ["b", "c"]
    monkeypatch.undo()
    assert states(run(tmp_path / "out", rows_of(videos, "a b c"), engine)) == {"a": "kept", "b": "done", "c": "done"}


def test_two_batches_in_one_folder(tmp_path: Path) -> None:
    with OutputFolder(tmp_path).locked(), pytest.raises(BadInput, match="another batch is running in this folder"):  # noqa: SIM117
        with OutputFolder(tmp_path).locked():
            pass


def test_workers_that_cannot_load_their_model(videos: Path, tmp_path: Path) -> None:
    said = r"workers: 3 died while they loaded the model \(the last one ended with code 1"
    with pytest.raises(BadInput, match=said):
        run(tmp_path / "out", rows_of(videos, "a b c"), partial(os._exit, 1))


def test_the_summary(videos: Path, tmp_path: Path) -> None:
    rows = [
        *rows_of(videos, "a bad"),
        Row("c", str(videos / "c.mp4"), "c", mask=videos / "c.png", columns={"<b>": "&"}),
    ]
    summary = run(tmp_path / "out", rows, Here(Follows()))
    values = json.loads((tmp_path / "out/summary.json").read_text())
    assert values["counts"] == {"done": 2, "kept": 0, "failed": 1, "missing": 0}
    assert [one["output"] for one in values["videos"]] == ["a", "bad", "c"]
    with (tmp_path / "out/summary.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(one["output"], one["state"], one["<b>"]) for one in table][1:] == [
        ("bad", "failed", ""),
        ("c", "done", "&"),
    ]
    page = (tmp_path / "out/summary.html").read_text()
    assert page.index("bad") < page.index('src="a/first.jpg"'), "failures come first"
    assert "<th>&lt;b&gt;</th>" in page
    assert "<td>&amp;</td>" in page
    assert all((tmp_path / "out/a" / f"{name}.jpg").stat().st_size for name in ("first", "middle", "worst"))
    assert summary.table().splitlines()[1].startswith("bad    failed  ")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.runtime.batch import clips, test_run
if __name__ == "__main__":
    test_run.run(Path({out!r}), test_run.rows_of(Path({videos!r}), "a b c"), clips.slow, jobs=1)
"""


def test_a_batch_that_is_killed_resumes(videos: Path, tmp_path: Path) -> None:
    out, script = tmp_path / "out", tmp_path / "script.py"
    for name in "abc":
        clips.write_clip(videos / f"{name}.mp4", frames=12)
    script.write_text(KILLED.format(root=str(ROOT), out=str(out), videos=str(videos)))
    with subprocess.Popen([sys.executable, str(script)], cwd=ROOT) as process:
        wait_for(lambda: (out / "a/result.json").exists() and any((out / ".work").rglob("*.jsonl")))
        process.send_signal(signal.SIGKILL)
    size = wait_for_rest(out / ".work")
    assert size is not None, "a video is unfinished, and its worker ended with its parent"
    before = {one.output: (out / one.output / "result.json").stat().st_mtime_ns for one in finished(out)}
    assert 1 <= len(before) < 3
    engine = Here(Follows())
    summary = run(out, rows_of(videos, "a b c"), engine)
    assert summary.ok
    assert sorted([*engine.ran, *before]) == ["a", "b", "c"], "no video is done twice"
    assert before.items() <= {name: (out / name / "result.json").stat().st_mtime_ns for name in "abc"}.items()
    assert len({one.digest for one in summary.outcomes}) == 1
    assert list((out / ".work").iterdir()) == []


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("nothing came")


def wait_for_rest(folder: Path) -> int | None:
    """Wait until the files of a folder grow no more; return their size, None for an empty folder."""
    last = -1
    while True:
        files = [one.stat().st_size for one in folder.rglob("*.jsonl")]
        if sum(files) == last:
            return last if files else None
        last = sum(files)
        time.sleep(0.4)


def test_jobs_fit_the_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 1500000 kB\n")
    assert automatic_jobs(100, 16, tmp_path / "meminfo") == 2
    assert automatic_jobs(100, 1, tmp_path / "meminfo") == 1
    (tmp_path / "meminfo").write_text("MemAvailable: 15 kB\n")
    assert automatic_jobs(100, 16, tmp_path / "meminfo") == 1
