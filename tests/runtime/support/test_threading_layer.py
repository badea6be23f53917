"""Every numba kernel keeps the laws that make it safe to cache, to thread, and to run without SciPy."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = "runtime", "shls_train"
KERNEL_FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "@njit" in path.read_text()
)
NEEDS_SCIPY = {"dot", "vdot", "linalg", "inner", "outer"}


def kernels(source: str) -> list[tuple[ast.FunctionDef, dict[str, bool]]]:
    """Functions compiled by numba, with the options of their decorator."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for decorator in getattr(node, "decorator_list", []):
            if isinstance(decorator, ast.Call) and "njit" in ast.unparse(decorator.func):
                assert isinstance(node, ast.FunctionDef)
                options = {k.arg or "": bool(getattr(k.value, "value", False)) for k in decorator.keywords}
                found.append((node, options))
    return found


def faults(source: str) -> list[str]:
    """List the violations in the kernels of a file."""
    wrong = []
    for kernel, options in kernels(source):
        wrong += [f"{kernel.name}: {name}=True is missing" for name in ("cache", "nogil") if not options.get(name)]
        for node in ast.walk(kernel):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
                wrong.append(f"{kernel.name}: a matrix product needs SciPy")
            if isinstance(node, ast.Attribute) and node.attr in NEEDS_SCIPY:
                wrong.append(f"{kernel.name}: {node.attr} needs SciPy")
    return wrong


def test_kernels_are_found() -> None:
    assert len(KERNEL_FILES) > 5


@pytest.mark.parametrize("path", KERNEL_FILES, ids=lambda path: path.name)
def test_kernels_keep_the_laws(path: Path) -> None:
    assert kernels(path.read_text())
    assert faults(path.read_text()) == []


def test_the_check_can_fail() -> None:
    assert faults("@njit(cache=True)\ndef f(a):\n    return np.dot(a, a) + a @ a") == [
        "f: nogil=True is missing",
        "f: a matrix product needs SciPy",
        "f: dot needs SciPy",
    ]
