"""Check that every package that `shls run` needs on an aarch64 board exists as a wheel.

    python benchmarks/wheels.py [--extra cpu]

The check asks the package index for the wheels of JetPack 6 (Python 3.10) and JetPack 7 (Python 3.12), with the
versions of constraints.txt. It installs nothing. It exits with 1 if a package has no wheel.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

from common import described, plainly
from shls.runtime.errors import BadInput, MissingDependency

PYTHONS = ("3.10", "3.12")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--extra", default="cpu", help="of pyproject.toml, besides the dependencies")
    wanted = requirements(parser.parse_args().extra)
    missing = [python for python in PYTHONS if not resolves(python, wanted)]
    sys.exit(1 if missing else 0)


def requirements(extra: str) -> list[str]:
    try:
        import tomllib
    except ImportError as error:
        raise MissingDependency("Python 3.11 or later is needed, which reads pyproject.toml") from error

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    if extra not in extras:
        raise BadInput(f"--extra {extra}: pyproject.toml has none of that name; expected one of {', '.join(extras)}")
    return [*project["dependencies"], *extras[extra]]


def constraints(python: str) -> str:
    """Return the constraints for one Python; pip itself evaluates markers for the Python that runs it."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = [Requirement(line) for line in lines]
    ours = [pin for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": python})]
    return "".join(f"{pin.name}{pin.specifier}\n" for pin in ours)


def resolves(python: str, wanted: list[str]) -> bool:
    """Print what pip would install for one Python, or why it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        report, pins = Path(folder) / "report.json", Path(folder) / "constraints.txt"
        pins.write_text(constraints(python))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--target", folder, "--only-binary=:all:", "--python-version", python]
        command += [f"--platform={name}" for name in PLATFORMS] + ["--constraint", str(pins)]
        run = subprocess.run([*command, "--report", str(report), *wanted], capture_output=True, text=True)
        if run.returncode != 0:
            print(f"Python {python} on aarch64: no\n{run.stderr}")
            return False
        packages = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    print(f"Python {python} on aarch64: " + ", ".join(sorted(f"{p['name']} {p['version']}" for p in packages)))
    return True


if __name__ == "__main__":
    plainly(main)
