"""`make weights` asks for nothing that the commands do not know."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main

from shls.runtime.cli.main import app

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def commands() -> list[list[str]]:
    if not shutil.which("make"):
        pytest.skip("no make here")
    dry = ["make", "--always-make", "--dry-run", "weights", "SHLS=shls", "STILLS=photos"]
    printed = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [words[1:] for line in printed.splitlines() if (words := line.split())[:1] == ["shls"]]


def test_all_networks_are_trained_exported_and_calibrated(commands: list[list[str]]) -> None:
    names = [name for name, *_ in commands]
    trained = ["train", "export", "pseudo", "train", "export", "train-refiner", "export"]
    trained += ["train-prompter", "export"]
    assert [name for name in names if name != "calibrate"] == trained
    assert {words[-1] for name, *words in commands if name == "calibrate"} == {
        f"weights/shls-edge{part}.int8-{target}.onnx"
        for part in ("", "-refiner", "-prompter")
        for target in ("cpu", "tensorrt")
    }


def test_every_option_is_known(commands: list[list[str]]) -> None:
    group = typer.main.get_command(app)
    for name, *words in commands:
        command = group.commands[name]  # type: ignore[attr-defined]
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known, name


def test_what_a_step_reads_an_earlier_one_wrote(commands: list[list[str]]) -> None:
    written: set[str] = set()
    for _, *words in commands:
        read = {word for word in words if word.startswith("weights/")} - {words[words.index("--out") + 1]}
        assert read <= written
        written.add(words[words.index("--out") + 1])
