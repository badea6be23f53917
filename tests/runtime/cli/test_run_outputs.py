"""What `shls run` writes and prints, and how Ctrl-C ends it, with a segmenter that needs no model."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from shls.runtime import pipeline, segmenter
from shls.runtime.cli import main as cli
from tests.fake_segmenters import Follows
from tests.sink_inputs import video_with_sound

MARK = ("--box", "10,10,20,20")


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> Follows:
    """The segmenter that the command opens."""
    fake = Follows()
    monkeypatch.setattr(segmenter, "open_segmenter", lambda *_, **__: fake)
    return fake


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven frames in a folder named like a time; the current folder holds the folder and nothing else."""
    folder = tmp_path / "12:30"
    folder.mkdir()
    for at in range(7):
        image = np.full((48, 64, 3), 30 * at, np.uint8)
        image[10:30, 10:30] = (0, 0, 255)
        cv2.imwrite(str(folder / f"12:30:0{at}.png"), image)
    monkeypatch.chdir(tmp_path)
    return folder


def run(source: object, *options: object) -> Result:
    return CliRunner().invoke(cli.app, ["run", str(source), *MARK, *map(str, options)])


def count_of(path: str) -> int:
    with av.open(f"file:{path}") as container:
        return sum(1 for _ in container.decode(video=0))


def test_all_outputs_at_once(clip: Path) -> None:
    names = ["cam:1.mp4", "m:1", "c:1", "m:1.mkv", "o:1.jsonl"]
    options = zip(("--out", "--masks", "--cutout", "--mask-video", "--json"), names, strict=True)
    done = run(clip, *(word for option in options for word in option))
    assert done.exit_code == 0, done.exception
    assert sorted(done.stdout.split()[-5:]) == sorted(names), "the outputs are listed at the end"
    assert [count_of("cam:1.mp4"), count_of("m:1.mkv")] == [7, 7]
    assert sorted(os.listdir("m:1")) == sorted(os.listdir("c:1")) == sorted(os.listdir(clip))
    assert len(Path("o:1.jsonl").read_text().splitlines()) == 7


@pytest.mark.parametrize("name", ["o.mov", "o.mkv", "o.webm", "o.gif"])
def test_the_suffix_chooses_the_kind_of_video(name: str, clip: Path) -> None:
    assert run(clip, "--out", name).exit_code == 0
    assert count_of(name) == 7


def test_a_folder_of_overlays(clip: Path) -> None:
    assert run(clip, "--out", "overlays").exit_code == 0
    assert sorted(os.listdir("overlays")) == [f"12:30:0{at}.jpg" for at in range(7)]


def test_sound_is_copied(tmp_path: Path) -> None:
    video_with_sound(tmp_path / "in.mp4")
    done = run(tmp_path / "in.mp4", "--out", tmp_path / "o.mp4", "--sound")
    assert done.exit_code == 0, done.exception
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac"]
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(96_000, rel=0.05)


def test_json_lines_have_standard_output_to_themselves(clip: Path) -> None:
    done = run(clip, "--json", "-", "--masks", "masks")
    assert done.exit_code == 0, done.exception
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == list(range(7))
    assert "7 frames, " in done.stderr
    assert "masks" in done.stderr
    assert not Path("-").exists()


def test_no_output_is_said_before_the_work(clip: Path) -> None:
    done = run(clip)
    assert done.exit_code == 0, done.exception
    assert done.stderr.startswith("shls: no output is given, so nothing will be written. Give --out, ")
    assert "no output" not in run(clip, "--masks", "masks").output


def test_masks_of_an_earlier_longer_run_are_said(clip: Path) -> None:
    assert "earlier" not in run(clip, "--masks", "masks").output
    done = run(clip, "--masks", "masks", "--every", 3)
    assert "shls: masks: 4 earlier .png files are not of this run (12:30:01.png, 12:30:02.png, " in done.stderr


def ended(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *options: str) -> tuple[Any, str]:
    """Run the command; return its exit code and what it printed to standard error."""
    monkeypatch.setattr(sys, "argv", ["shls", "run", *options, *MARK])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capfd.readouterr().err


def signalling(number: int, when: int, wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that its call number `when` sends this process a signal."""
    calls = 0

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == when:
            os.kill(os.getpid(), number)
        return wrapped(*arguments, **options)

    return call


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_a_run_completes_the_files(
    number: int,
    code: int,
    clip: Path,
    opened: Follows,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    opened.step = signalling(number, 3, opened.step)  # type: ignore[method-assign]  # the first call is the warm-up's
    said = ended(monkeypatch, capfd, "--loop", str(clip), "--out", "o.mp4", "--json", "o.jsonl")
    assert said[0] == code
    assert said[1].count("shls: ") == said[1].count("shls: interrupted") == 1
    lines = Path("o.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert count_of("o.mp4") == len(lines) >= 2


def test_ctrl_c_in_the_warm_up_ends_at_once(
    clip: Path, opened: Follows, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    opened.step = signalling(signal.SIGINT, 1, opened.step)  # type: ignore[method-assign]
    code, said = ended(monkeypatch, capfd, str(clip), "--out", "o.mp4", "--json", "o.jsonl")
    assert code == 130
    assert said.count("shls: ") == said.count("shls: interrupted") == 1
    assert "warm-up" not in said
    assert os.listdir() == [clip.name], "no file was opened"


def test_ctrl_c_before_the_first_frame(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "follow", signalling(signal.SIGINT, 1, pipeline.follow))
    code, said = ended(monkeypatch, capfd, str(clip), "--out", "o.mp4")
    assert code == 130
    assert said.count("shls: ") == said.count("shls: interrupted") == 1
    assert os.listdir() == [clip.name]
