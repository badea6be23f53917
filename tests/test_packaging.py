"""Contents of the wheel and of the sdist."""

from __future__ import annotations

import os
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
BESIDE_FILES = [
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    ".dockerignore",
    "mkdocs.yml",
]
BESIDE_FOLDERS = ["tests", "benchmarks", "docker", "docs", "examples", ".ci"]
"""What the tests read besides the packages."""


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
    for name in BESIDE_FILES:
        shutil.copy(ROOT / name, copy)
    for name in [*FOLDERS, "shls", *BESIDE_FOLDERS]:
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
    assert "--only-binary=:all:" in text
    assert re.search(r"/tmp/constraints.txt /opt/shls onnxruntime \\$", text, re.M), "no extra, which brings an OpenCV"
    assert "python3-opencv" in text, "the system's, which has GStreamer"
    shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert shown == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "shls", *FOLDERS}


def test_sdist_has_the_sources_and_what_the_tests_read(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "shls/runtime/models/contract.py", "shls/runtime/assets/bunny.mp4"} <= names
    beside = {file for name in BESIDE_FOLDERS for file in (dist.parent / name).glob("**/*") if file.is_file()}
    expected = {file.relative_to(dist.parent).as_posix() for file in beside if "__pycache__" not in file.parts}
    assert {*expected, *BESIDE_FILES} <= names


def test_the_sdist_runs_its_tests(dist: Path, tmp_path: Path) -> None:
    """Tests of what the sdist has under other names than the checkout: packages, assets, folders beside them."""
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    tests = ["tests/test_layers.py", "tests/runtime/support/test_extras.py", "tests/runtime/models/test_settings.py"]
    tests += ["tests/calib/test_samples.py::test_a_video_and_a_pattern"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    run = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed" in run.stdout
