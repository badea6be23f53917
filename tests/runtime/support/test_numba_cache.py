"""The folder of compiled kernels: place and key, and compilation of edited callees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import shls.runtime
from shls.runtime._support import numba_cache as cache
from shls.runtime._support.folders import private_temporary_folder

RUNTIME = Path(shls.runtime.__file__).parent
SCRIPT = """
import numpy as np
from shls.runtime._support.numba_cache import cache_folder
from shls.runtime.features import pooling
pooling._unit_rows(np.ones((1, 2, 4), np.float32))
print(sum(pooling._unit_rows.stats.cache_misses.values()), "compiled", cache_folder())
"""
CALLEE = "from numba import njit\n@njit(cache=True)\ndef value():\n    return {}\n"
CALLER = "from numba import njit\nfrom .callee import value\n@njit(cache=True)\ndef ask():\n    return value()\n"
MAIN = """
from pathlib import Path
import sys
from shls.runtime._support.numba_cache import use_cache
use_cache(Path("package"))
sys.path.insert(0, ".")
from package.caller import ask
print(ask())
"""


def run(script: str, folder: Path, **variables: str) -> str:
    return process(script, folder, **variables).stdout.strip()


def process(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=kept | {"TMPDIR": str(folder)} | variables,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_kernels_are_kept_in_the_home_and_used_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for compiled in (1, 0):
        count, _, folder = run(SCRIPT, tmp_path, HOME=str(home)).split(" ")
        assert int(count) == compiled
        assert Path(folder).parent == home / ".cache/shls"
    assert list(home.glob(".cache/shls/shls-kernels-*/**/*.nbi"))


def test_a_read_only_home_leads_to_the_temporary_files(tmp_path: Path) -> None:
    for compiled in (1, 0):
        done = process(SCRIPT, tmp_path, HOME="/dev/null")
        assert done.stderr.startswith("kernel cache: the user's cache folder is not writable")
        count, _, folder = done.stdout.strip().split(" ")
        assert int(count) == compiled
        assert Path(folder).parent == tmp_path / f"shls-{os.getuid()}"
    assert Path(folder).parent.stat().st_mode & 0o777 == 0o700


def test_a_chosen_folder_is_used_and_inherited(tmp_path: Path) -> None:
    first = run(SCRIPT, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "chosen")).split(" ")[2]
    assert Path(first).parent == tmp_path / "chosen"
    assert run(SCRIPT, tmp_path, NUMBA_CACHE_DIR=first) == f"0 compiled {first}"


def test_a_folder_that_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first = private_temporary_folder()
    assert private_temporary_folder() == first
    first.chmod(0o777)
    assert private_temporary_folder() != first


def test_an_edited_callee_in_another_file_is_compiled_anew(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "caller.py").write_text(CALLER)
    for value in (1, 2):
        (package / "callee.py").write_text(CALLEE.format(value))
        assert run(MAIN, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "kernels")) == str(value)


def test_the_key_follows_kernels_numba_and_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "runtime"
    shutil.copytree(RUNTIME, copy, ignore=shutil.ignore_patterns("assets", "__pycache__"))
    first = cache.kernel_digest(copy)
    (copy / "errors.py").write_text((copy / "errors.py").read_text() + "# no kernel\n")
    assert cache.kernel_digest(copy) == first
    (copy / "memory/_search.py").write_text((copy / "memory/_search.py").read_text() + "# edited\n")
    second = cache.kernel_digest(copy)
    monkeypatch.setattr(cache, "version", lambda _: "0.0")
    third = cache.kernel_digest(copy)
    monkeypatch.setattr(cache, "_processor", lambda: "another")
    assert len({first, second, third, cache.kernel_digest(copy)}) == 4


def test_sources_that_were_copied_or_written_again_are_not_taken_for_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    (tmp_path / "kernel.py").write_text("from numba import njit")
    monkeypatch.setattr(cache, "_stamp", cache._stamp_of(tmp_path))
    cache.mark_compiled()
    assert cache.is_compiled()
    os.utime(tmp_path / "kernel.py", (1, 1))
    monkeypatch.setattr(cache, "_stamp", cache._stamp_of(tmp_path))
    assert not cache.is_compiled()


def test_the_folder_in_use_counts_as_new(tmp_path: Path) -> None:
    for number in range(6):
        old = tmp_path / f"{cache.PREFIX}{number}"
        old.mkdir()
        os.utime(old, (number, number))
    cache._drop_old(tmp_path, tmp_path / f"{cache.PREFIX}0")
    cache._drop_old(tmp_path, tmp_path / f"{cache.PREFIX}new")
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["0", "3", "4", "5"]


def test_old_folders_go(tmp_path: Path) -> None:
    for number in range(6):
        old = tmp_path / f"{cache.PREFIX}{number}"
        old.mkdir()
        os.utime(old, (number, number))
    cache._drop_old(tmp_path, tmp_path / f"{cache.PREFIX}new")
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["2", "3", "4", "5"]
