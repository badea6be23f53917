"""`shls serve` from the command line, with a segmenter that needs no model."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner, Result

from shls.runtime import segmenter
from shls.runtime.cli import main as cli
from shls.runtime.io.masks import write_mask
from tests.fake_server import Shifts, drawn, squares
from tests.live_servers import until


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "open_segmenter", lambda *_, **__: Shifts())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five frames, and the mask of the first beside their folder."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for index in range(5):
        cv2.imwrite(str(folder / f"{index:05d}.png"), drawn(index)[..., ::-1])
    mask = squares(drawn(0), _prompt()).astype("uint8")
    write_mask(tmp_path / "first.png", mask)
    return folder


def _prompt() -> object:
    from shls.runtime.prompts.prompt import Prompt

    return Prompt(points=((20.0, 30.0),))


def serve(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["serve", *map(str, words), "--port", "0"])


def test_without_a_mark_the_page_is_served_too(clip: Path) -> None:
    assert serve(clip, "--duration", "0.2").exit_code == 0


def test_a_token_is_made_and_printed_beyond_loopback(clip: Path) -> None:
    first, second = (serve(clip, "--host", "0.0.0.0", "--duration", "0.2") for _ in range(2))
    assert first.exit_code == 0
    assert "/?token=" in first.output
    assert first.output.partition("token=")[2] != second.output.partition("token=")[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--token", "short"], "token: too weak"),
        (["--host", "203.0.113.7"], "cannot be opened"),
        (["--box", "500,500,5,5"], "the box is empty or outside the frame"),
        (["--mask", "none.png"], "none.png"),
        (["--start", "9"], "has 5 frames"),
        (["--prompts", "none.json"], "none.json: cannot be read"),
    ],
)
def test_bad_options_are_refused_in_one_line(clip: Path, words: list[str], message: str) -> None:
    result = serve(clip, *words, "--duration", "0.2")
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_a_port_that_is_taken(clip: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(cli.app, ["serve", str(clip), "--port", str(port)])
    assert f"port {port} of 127.0.0.1: cannot be opened" in str(result.exception)


def test_a_first_mask_that_fails_ends_the_command(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Shifts):
        calls = 0

        def start(self, image: object, mask: object) -> None:  # type: ignore[override]
            self.calls += 1
            if self.calls > 1:  # the first is the warm-up
                raise ZeroDivisionError
            super().start(image, mask)  # type: ignore[arg-type]

    monkeypatch.setattr(segmenter, "open_segmenter", lambda *_, **__: Broken())
    result = serve(clip, "--box", "10,10,20,20", "--duration", "20")
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_clip_with_its_mask_is_followed_to_its_end_and_ctrl_c_ends_the_server(clip: Path, tmp_path: Path) -> None:
    code = (
        "from shls.runtime import segmenter; from shls.runtime.cli import main; from tests.fake_server import Shifts;"
        "segmenter.open_segmenter = lambda *_, **__: Shifts(); main.main()"
    )
    words = ["serve", clip, "--mask", tmp_path / "first.png", "--json", tmp_path / "o.jsonl", "--port", "0"]
    command = [sys.executable, "-c", code, *map(str, words)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root) as server:
        assert server.stderr is not None
        address = next(line for line in server.stderr if line.startswith("page: ")).split()[1]
        for _ in until(60):
            with urllib.request.urlopen(f"{address}api/status", timeout=30) as answer:
                status = json.load(answer)
            if status["state"] == "ended":
                break
            time.sleep(0.05)
        assert (status["count"], status["frame"]) == (5, 4), "the page stays at the last frame"
        server.send_signal(signal.SIGINT)
        rest = server.stderr.read()
        assert server.wait(30) == 0
    assert "Traceback" not in rest
    frames = [json.loads(line)["frame"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert frames == [0, 1, 2, 3, 4]
