"""`shls doctor`, `shls profile` and `shls bench`: what this machine can do, in figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shls.runtime.commands_common import write_json


def doctor(json: Annotated[Path | None, typer.Option(help="Write the findings here.")] = None) -> None:
    """Look at what this machine has and lacks, with the fix for each lack; exit code 1 on a problem."""
    from shls.runtime.doctor import examine

    findings = examine()
    for finding in findings:
        fix = f" -> {finding.fix}" if finding.fix else ""
        typer.echo(f"{finding.status:<8} {finding.name:<14} {finding.text}{fix}")
    if json:
        write_json(json, [finding._asdict() for finding in findings])
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(1)
