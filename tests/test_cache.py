"""Where compiled kernels go: beside the source, to the home, or among temporary files; and that it is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shls.runtime import cache

RUNTIME = Path(cache.__file__).parent
SCRIPT = """
import numpy as np
from shls.runtime import cache, pooling
pooling._unit_rows(np.ones((1, 2, 4), np.float32))
print(sum(pooling._unit_rows.stats.cache_misses.values()), "compiled" + cache.elsewhere())
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """An install that cannot be written to, for root neither: a file is where the folder would be."""
    package = tmp_path / "site/shls/runtime"
    package.mkdir(parents=True)
    for file in RUNTIME.glob("*.py"):
        shutil.copy(file, package)
    (package / "__pycache__").touch()
    return tmp_path / "site"


def kernels_of(site: Path, home: str, temporary: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    environment = kept | {"PYTHONPATH": str(site), "HOME": home, "TMPDIR": str(temporary)}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, cwd=temporary, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_a_read_only_install_keeps_kernels_in_the_home(read_only: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert kernels_of(read_only, str(home), tmp_path).endswith(f"are kept in {home / '.cache/numba'}")
    assert list(home.glob(".cache/numba/*/*.nbi"))


def test_without_a_home_among_temporary_files_for_the_next_run_too(read_only: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"shls-kernels-{os.getuid()}"
    for compiled in (1, 0):
        expected = f"{compiled} compiled; compiled kernels are kept in {folder}"
        assert kernels_of(read_only, "/dev/null", tmp_path) == expected
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    first = cache._private_folder()
    assert cache._private_folder() == first
    first.chmod(0o777)
    assert cache._private_folder() != first


def test_what_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/nowhere")
    cache.choose(Path("/dev/null"))
    assert os.environ["NUMBA_CACHE_DIR"] == "/nowhere"
