"""What a user gets who installs the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "runtime": "shls/runtime",
    "export": "shls/export",
    "calib": "shls/calib",
    "shls_train": "shls_train",
}


def source_files() -> set[str]:
    """Return the files of the folders, under the names that they have in the wheel."""
    return {
        f"{package}/{file.relative_to(ROOT / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for file in (ROOT / folder).glob("**/*")
        if file.is_file() and "__pycache__" not in file.parts
    } | {"shls/__init__.py", "shls/py.typed"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from the sdist, from a copy: a build leaves files in its folder."""
    copy = tmp_path_factory.mktemp("source")
    for name in ["pyproject.toml", "README.md", "LICENSE"]:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    for name in [*FOLDERS, "shls", "tests"]:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return copy / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> set[str]:
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_wheel_takes_two_names_only(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"shls", "shls_train"}
    assert len(tops) == 3


def test_wheel_has_every_file_of_the_folders_and_no_other(wheel: set[str]) -> None:
    assert {name for name in wheel if ".dist-info/" not in name} == source_files()


def test_wheel_is_typed_and_has_the_assets(wheel: set[str]) -> None:
    assert {f"{package}/py.typed" for package in FOLDERS.values()} <= wheel
    assert {
        f"shls/runtime/assets/{name}" for name in ["bunny.mp4", "bunny_mask.png", "NOTICE.md", "profile.html.jinja"]
    } <= wheel


def test_wheel_carries_the_licences(wheel: set[str]) -> None:
    licences = {name.partition("/licenses/")[2] for name in wheel if "/licenses/" in name}
    assert licences == {"LICENSE", "runtime/assets/NOTICE.md"}


@pytest.mark.parametrize("jetpack", ["6", "7"])
def test_the_images_install_the_runtime_alone(jetpack: str) -> None:
    text = (ROOT / "docker" / f"jetpack{jetpack}.Dockerfile").read_text()
    assert re.findall(r"/opt/shls\[([a-z,]+)\]", text) == ["cpu"]
    assert "--only-binary=:all:" in text
    shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert shown == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "shls", *FOLDERS}


def test_sdist_has_the_sources(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "shls/runtime/models/contract.py", "shls/runtime/assets/bunny.mp4"} <= names
