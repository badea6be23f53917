"""How the command ends."""

from __future__ import annotations

import sys

import pytest
import typer

from shls.runtime.cli import main as cli
from shls.runtime.errors import BadInput


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [(BadInput("no such thing"), 2, "shls: no such thing\n"), (KeyboardInterrupt(), 130, "shls: interrupted; ")],
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
