"""Who may import whom, read from the sources. The table is the one of the architecture page."""

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
COMMON = {
    "shls.__version__",
    "shls.runtime.errors",
    "shls.runtime.types",
    "shls.runtime.geometry",
    "shls.runtime._support",
}
R = "shls.runtime"

# What a place may import besides itself and COMMON.
ALLOWED: dict[str, set[str]] = {
    f"{R}._support": set(),
    f"{R}.errors": set(),
    f"{R}.types": set(),
    f"{R}.geometry": set(),
    f"{R}._arguments": set(),
    f"{R}._guard": set(),
    f"{R}.models": set(),
    f"{R}.hardware": set(),
    f"{R}.io": set(),
    f"{R}.superpixels": {f"{R}.models"},
    f"{R}.memory": {f"{R}.models"},
    f"{R}.backends": {f"{R}.models", f"{R}.hardware"},
    f"{R}.features": {f"{R}.models", f"{R}.superpixels", f"{R}.backends"},
    f"{R}.refinement": {f"{R}.models", f"{R}.features", f"{R}.backends"},
    f"{R}.prompts": {f"{R}.models", f"{R}.backends", f"{R}.features", f"{R}.refinement", f"{R}.io"},
    f"{R}.compilation": {
        f"{R}.models",
        f"{R}.hardware",
        f"{R}.io",
        f"{R}.superpixels",
        f"{R}.memory",
        f"{R}.features",
        f"{R}.refinement",
    },
    f"{R}.segmenter": {
        f"{R}.compilation",
        f"{R}._arguments",
        f"{R}._guard",
        f"{R}.models",
        f"{R}.hardware",
        f"{R}.superpixels",
        f"{R}.memory",
        f"{R}.backends",
        f"{R}.features",
        f"{R}.refinement",
        f"{R}.prompts",
    },
    f"{R}.pipeline": {f"{R}.segmenter", f"{R}.io"},
    f"{R}.server": {f"{R}.segmenter", f"{R}.io", f"{R}.pipeline", f"{R}.prompts", f"{R}.formats"},
    f"{R}.evaluation": {f"{R}.io", f"{R}.pipeline"},
    f"{R}.formats": {f"{R}.io"},
    f"{R}.bridges": {f"{R}.prompts", f"{R}.segmenter"},
    f"{R}.batch": {
        f"{R}.formats",
        f"{R}.io",
        f"{R}.pipeline",
        f"{R}.prompts",
        f"{R}.segmenter",
    },
    f"{R}.diagnostics": {R},
    f"{R}.cli": {R},
    R: {f"{R}.segmenter"},
    "shls.calib": {R},
    "shls_train": {R},
    "shls.export": {
        R,
        "shls.calib.fp16",
        "shls.calib.onnx_files",
        "shls.calib.prompts",
        "shls_train.models",
        "shls_train.engine.checkpoint",
    },
}
ONLY_FOR = {f"{R}.cli": f"{R}.cli", f"{R}.diagnostics": f"{R}.cli"}
"""Packages that nobody but the named one imports, though its table says all of the runtime."""
LATE = {"shls.calib", "shls.export", "shls_train"}
"""What the command line imports inside functions only."""
BANNED = {"torch", "torchvision", "onnx", "onnxscript"}
"""What no file of the runtime imports, not even inside a function."""


def place_of(module: str) -> str:
    """The longest row of the table that a module lies in."""
    rows = [row for row in ALLOWED if module == row or module.startswith(row + ".")]
    return max(rows, key=len, default="")


def imports(tree: ast.AST, package: str) -> Iterator[tuple[ast.AST, set[str]]]:
    """Yield each import with the modules it may name: `from a import b` is `a` and perhaps `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name != "shls":  # its version, and names that are loaded when they are used
                    yield node, {alias.name}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                if (module, alias.name) != ("shls", "__version__"):
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


def private_elsewhere(module: str, package: str) -> bool:
    """Tell whether a module is private to another package: a name with an underscore below a sub-package."""
    parts = module.split(".")
    for index, part in enumerate(parts):
        if part.startswith("_") and part != "_support" and index:
            parent = ".".join(parts[:index])
            return (ROOT / file_of(parent) / f"{part}.py").exists() and package != parent
    return False


def file_of(package: str) -> Path:
    for folder, name in PACKAGES.items():
        if package == name or package.startswith(name + "."):
            return Path(folder, *package[len(name) :].strip(".").split("."))
    return Path("nowhere")


def violations(source: str, file: str) -> list[str]:
    """List the imports that the table forbids in a file, given by its path below the repository's root."""
    tree = ast.parse(source)
    folder, *rest = Path(file).with_suffix("").parts
    module = ".".join([PACKAGES[folder], *[part for part in rest if part != "__init__"]])
    package = ".".join([PACKAGES[folder], *rest[:-1]])
    place = place_of(module)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    late = {inner for node in ast.walk(tree) if isinstance(node, functions) for inner in ast.walk(node)}
    late |= {inner for node in ast.walk(tree) if for_types_alone(node) for inner in ast.walk(node)}
    ours = set(PACKAGES) | set(PACKAGES.values()) | {"shls"}
    found = []
    for node, modules in imports(tree, package):
        allowed = ALLOWED[place] | {place} | (COMMON if folder == "runtime" and place != f"{R}._support" else set())
        if place == f"{R}._support":
            allowed |= {f"{R}.errors"}
        if place == f"{R}.cli" and node in late:
            allowed |= LATE
        strange = all(within(name, ours) and not within(name, allowed) for name in modules)
        strange |= any(
            within(name, {only}) and not within(place, {only, by}) for only, by in ONLY_FOR.items() for name in modules
        )
        strange |= any(private_elsewhere(name, package) for name in modules)
        if strange or (folder == "runtime" and any(within(name, BANNED) for name in modules)):
            found.append(f"{file}:{node.lineno}: {ast.unparse(node)}")
    return found


def absolute_inside(source: str, file: str) -> list[str]:
    """List the imports of a package's own modules that are not relative: editors cannot follow them."""
    own = PACKAGES[Path(file).parts[0]]
    return [
        f"{file}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and not node.level and within(node.module or "", {own})
    ]


def sources() -> list[tuple[str, str]]:
    files = [file for folder in PACKAGES for file in sorted((ROOT / folder).glob("**/*.py"))]
    return [(file.read_text(), file.relative_to(ROOT).as_posix()) for file in files]


def test_the_table_holds() -> None:
    files = sources()
    assert len(files) > 100
    assert not [line for source, file in files for line in violations(source, file)]


def test_imports_inside_a_package_are_relative() -> None:
    assert not [line for source, file in sources() for line in absolute_inside(source, file)]
    assert absolute_inside("from shls.runtime.types import Mask", "runtime/pipeline.py")
    assert not absolute_inside("from shls.runtime.types import Mask", "calib/ranges.py")


def test_the_table_can_fail() -> None:
    bad = {
        "runtime/pipeline.py": [
            "import torch",
            "import torch.nn as nn",
            "from onnx import numpy_helper",
            "def late():\n    import onnx",
            "import shls.export.to_onnx",
            "from shls import calib",
            "from ..export import verify",
            "from shls_train.models.edge import EdgeNet",
            "import runtime.models.contract",
            "import importlib\nimportlib.import_module('torch')",
            "from .memory.bank import Memory",
        ],
        "runtime/memory/bank.py": [
            "from ..io.sources import open_source",
            "from ..segmenter import VideoSegmenter",
            "from ..superpixels import slic",
        ],
        "runtime/_support/files.py": ["from ..types import Mask", "from ..models.contract import Contract"],
        "runtime/features/encoder.py": [
            "from ..superpixels import _assignment",
            "from ..superpixels._assignment import x",
        ],
        "runtime/evaluation/evaluate.py": ["from ..cli.main import app", "from ..diagnostics import doctor"],
        "calib/made_up.py": ["from shls.export import to_onnx", "import shls_train", "from shls_train import models"],
        "export/made_up.py": [
            "from shls.calib import ranges",
            "import shls.calib.quantize",
            "from shls_train.stages import embedding",
            "import shls_train",
        ],
        "shls_train/made_up.py": ["from shls.export import to_onnx", "import shls.calib"],
    }
    for file, lines in bad.items():
        for source in lines:
            assert len(violations(source, file)) == 1, (file, source)


def test_the_table_permits_what_it_should() -> None:
    good = {
        "runtime/memory/bank.py": [
            "import numpy",
            "import onnxruntime",
            "from ..errors import BadInput",
            "from ..models.contract import MemorySettings",
            "from . import _search",
            "from ._search import read",
        ],
        "export/made_up.py": [
            "import torch",
            "import onnx",
            "from shls.runtime.models import contract",
            "from shls.calib.fp16 import halved_model",
            "from shls_train.engine import checkpoint",
            "from shls_train.models.edge import EdgeNet",
        ],
        "calib/made_up.py": ["from shls.runtime.models import contract", "import onnx"],
        "shls_train/made_up.py": ["import torch", "from shls.runtime.segmenter import VideoSegmenter"],
    }
    for file, lines in good.items():
        for source in lines:
            assert not violations(source, file), (file, source)


def test_the_command_line_imports_the_others_late() -> None:
    assert violations("from shls.export import to_onnx", "runtime/cli/main.py")
    assert not violations("def export():\n    from shls.export import to_onnx", "runtime/cli/main.py")
    assert violations("def export():\n    import torch", "runtime/cli/main.py")
    assert not violations("if TYPE_CHECKING:\n    from shls.calib.samples import Inputs", "runtime/cli/main.py")
