"""Help loads none of the large libraries."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ["torch", "onnx", "onnxruntime", "tensorrt", "cv2", "numba"]

# Prints each command and what it has loaded by then.
SCRIPT = f"""
import contextlib, io, sys
import typer
from shls.runtime.cli import main as cli

for command in [None, *typer.main.get_command(cli.app).commands]:
    sys.argv = ["shls", *filter(None, [command]), "--help"]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    assert code == 0 and "Usage" in shown.getvalue(), (sys.argv, code, shown.getvalue())
    print(*sys.argv[1:], *[name for name in {HEAVY} if name in sys.modules])
"""


def test_help_loads_nothing_heavy() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) > 2, "the app has commands"
    assert [line for line in lines if not line.endswith("--help")] == []
