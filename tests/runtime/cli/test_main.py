"""Exit codes, messages and global options of the command."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import shls
from shls.runtime.cli import main as cli
from shls.runtime.errors import BadInput

WARM_UP = """
import signal, sys
from shls.runtime import pipeline
from shls.runtime.cli import main as cli

def compile_for_long(*_):
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("the signal did not end the warm-up")

pipeline.warm_up = compile_for_long
from shls.runtime.diagnostics import profiler
profiler.warm_up = compile_for_long
sys.argv = ["shls", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [(BadInput("no such thing"), 2, "shls: no such thing\n"), (KeyboardInterrupt(), 130, "shls: interrupted. ")],
)
def test_an_error_and_an_interrupt_are_one_line(
    error: BaseException, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def work() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["shls"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", [["run", "{clip}", "--box", "40,40,30,30"], ["profile", "--frames", "3"]])
def test_ctrl_c_in_the_warm_up_ends_the_command_with_one_line(command: list[str]) -> None:
    clip = os.path.join(os.path.dirname(cli.__file__), "..", "assets", "bunny.mp4")
    arguments = [one.format(clip=clip) for one in command]
    done = subprocess.run(
        [sys.executable, "-c", WARM_UP, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert [line for line in done.stderr.splitlines() if "interrupted" in line or "Error" in line] == [
        "shls: interrupted. Files that were written so far are complete."
    ]


def test_the_version() -> None:
    done = CliRunner().invoke(cli.app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"{shls.__version__}\n")


@pytest.mark.parametrize(("options", "lines"), [([], ["shls: grave"]), (["--verbose"], ["shls: small", "shls: grave"])])
def test_log_messages_go_to_standard_error(
    options: list[str], lines: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("shls")
    monkeypatch.setattr(log, "handlers", [])
    for _ in range(2):  # a second start adds no second handler
        cli.set_up(verbose=bool(options))
    log.info("small")
    log.warning("grave")
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()) == ("", lines)


def test_ctrl_c_while_the_commands_load_is_one_line() -> None:
    program = (
        "import builtins, sys\n"
        "from shls.runtime.cli.entry import run\n"
        "load = builtins.__import__\n"
        "def interrupted(name, *rest, **more):\n"
        "    if name == 'typer':\n"
        "        raise KeyboardInterrupt\n"
        "    return load(name, *rest, **more)\n"
        "builtins.__import__ = interrupted\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1), done.stderr
    assert done.stderr.startswith("shls: interrupted.")
