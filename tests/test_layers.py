"""Who may import whom, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "runtime": "shls.runtime",
    "export": "shls.export",
    "calib": "shls.calib",
    "shls_train": "shls_train",
}

# What a folder may import besides itself, of ours.
ALLOWED = {
    "runtime": set(),
    "calib": {"shls.runtime"},
    "export": {
        "shls.runtime",
        "shls.calib.half",
        "shls_train.checkpoint",
        "shls_train.folding",
        "shls_train.network",
        "shls_train.refiner",
    },
    "shls_train": {"shls.runtime"},
}
# What no file of a folder imports, not even inside a function.
BANNED = {"runtime": {"torch", "torchvision", "onnx", "onnxscript"}}


def imports(tree: ast.AST, package: str) -> Iterator[tuple[ast.AST, set[str]]]:
    """Yield each import with the modules it may name: `from a import b` is `a` and perhaps `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, {alias.name}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                yield node, {module, f"{module}.{alias.name}"}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module",
            "__import__",
        ):
            for argument in node.args[:1]:
                yield node, {str(argument.value) if isinstance(argument, ast.Constant) else "?"}


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def for_types_alone(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def violations(source: str, folder: str, name: str) -> list[str]:
    """List the imports in a file that the table forbids."""
    tree = ast.parse(source)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    late = {inner for node in ast.walk(tree) if isinstance(node, functions) for inner in ast.walk(node)}
    late |= {inner for node in ast.walk(tree) if for_types_alone(node) for inner in ast.walk(node)}
    ours = set(PACKAGES) | set(PACKAGES.values()) | {"shls"}
    found = []
    for node, modules in imports(tree, PACKAGES[folder]):
        allowed = ALLOWED[folder] | {PACKAGES[folder]}
        if name.startswith(("cli", "commands_")) and node in late:
            allowed = set(PACKAGES.values())
        strange = all(within(module, ours) and not within(module, allowed) for module in modules)
        if strange or any(within(module, BANNED.get(folder, set())) for module in modules):
            found.append(f"{folder}/{name}:{node.lineno}: {ast.unparse(node)}")
    return found


def test_the_table_holds() -> None:
    files = [file for folder in PACKAGES for file in sorted((ROOT / folder).glob("**/*.py"))]
    assert len(files) > len(PACKAGES)
    assert not [
        line for file in files for line in violations(file.read_text(), file.relative_to(ROOT).parts[0], file.name)
    ]


def test_the_table_can_fail() -> None:
    bad = {
        "runtime": [
            "import torch",
            "import torch.nn as nn",
            "from onnx import numpy_helper",
            "def late():\n    import onnx",
            "import shls.export.to_onnx",
            "from shls import calib",
            "from ..export import verify",
            "from shls_train.network import ShlsEdge",
            "import runtime.contract",
            "import importlib\nimportlib.import_module('torch')",
        ],
        "calib": ["from shls.export import to_onnx", "import shls_train", "from shls_train import network"],
        "export": [
            "from shls.calib import ranges",
            "import shls.calib.quantize",
            "from shls_train import train",
            "import shls_train",
        ],
        "shls_train": ["from shls.export import to_onnx", "import shls.calib"],
    }
    for folder, sources in bad.items():
        for source in sources:
            assert len(violations(source, folder, "made_up.py")) == 1, (folder, source)


def test_the_table_permits_what_it_should() -> None:
    good = {
        "runtime": [
            "import numpy",
            "import onnxruntime",
            "from shls.runtime import types",
            "from . import types",
        ],
        "calib": ["import onnx", "from shls.runtime.contract import Contract"],
        "export": [
            "import torch",
            "from shls_train.network import ShlsEdge",
            "from shls_train import checkpoint",
        ],
        "shls_train": [
            "import torch",
            "from shls.runtime import contract",
            "from shls_train.config import Config",
        ],
    }
    for folder, sources in good.items():
        for source in sources:
            assert not violations(source, folder, "made_up.py"), (folder, source)


def test_the_command_line_imports_the_others_late() -> None:
    assert violations("from shls.export import to_onnx", "runtime", "cli.py")
    assert not violations("def export():\n    from shls.export import to_onnx", "runtime", "cli.py")
    assert violations("def export():\n    import torch", "runtime", "cli.py")
    assert not violations("if TYPE_CHECKING:\n    from shls.calib.samples import Inputs", "runtime", "cli.py")
    assert violations("if TYPE_CHECKING:\n    from shls.calib.samples import Inputs", "runtime", "memory.py")
