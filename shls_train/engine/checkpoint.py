"""Checkpoints: tensors in a safetensors file, metadata in a JSON file of the same name.

``step-000200.safetensors`` holds the weights (``model.*``) and the optimiser state (``optimizer.*``).
``step-000200.json`` holds the metadata and is written last. A checkpoint without its JSON file is incomplete.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shls.runtime.errors import BadInput

from ..models.edge import EdgeNet, Embedding
from ..models.edge_refiner import EdgeRefiner, RefinerNetwork
from ..models.prompter import PrompterNetwork
from ..models.r18 import R18Net
from ..models.r18_segmenter import R18Segmenter
from ..models.saliency_net import SaliencyNet

FORMAT = 1
EMBEDDINGS: dict[str, type[Embedding]] = {"shls-edge": EdgeNet, "shls-r18": R18Net}
REFINERS: dict[str, type[RefinerNetwork]] = {"shls-edge-refiner": EdgeRefiner, "shls-r18-refiner": R18Segmenter}
PROMPTERS: dict[str, type[PrompterNetwork]] = {"shls-edge-prompter": PrompterNetwork}
NETWORKS: dict[str, type[nn.Module]] = {**EMBEDDINGS, **REFINERS, **PROMPTERS, "saliency": SaliencyNet}
"""Network class by the network name that a checkpoint stores."""

REFINER_OF = {name: f"{name}-refiner" for name in EMBEDDINGS}
"""Name of the refiner network that belongs to each embedding network."""

Kind = TypeVar("Kind", bound=nn.Module)


class Checkpoint(NamedTuple):
    """One saved training state.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Weights (``model.*``) and optimiser state (``optimizer.*``).
    meta : dict
        Metadata: format, network, step, and whatever `save_checkpoint` was given.

    Examples
    --------
    >>> Checkpoint({}, {"step": 200}).meta["step"]
    200
    """

    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def save_checkpoint(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, meta: dict[str, Any]) -> Path:
    """Write a checkpoint atomically, then delete all but the newest two.

    Parameters
    ----------
    folder : Path
        Training folder of the run.
    network : nn.Module
        Network of a class in `NETWORKS`.
    optimizer : torch.optim.Optimizer
        Optimiser whose state is saved as well.
    meta : dict
        Metadata with at least "step". The network's name and the format version are added.

    Returns
    -------
    Path
        The safetensors file.

    Raises
    ------
    BadInput
        If the files cannot be written. Older checkpoints remain.

    Examples
    --------
    >>> import tempfile
    >>> network = EdgeNet()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save_checkpoint(Path(folder), network, torch.optim.AdamW(network.parameters()), {"step": 200})
    ...     print(file.name, load_checkpoint(Path(folder)).meta["network"])
    step-000200.safetensors shls-edge
    """
    stem = f"step-{meta['step']:06d}"
    tensors = {f"model.{name}": t.contiguous() for name, t in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value).contiguous() for name, value in state.items()}
    target = folder / f"{stem}.safetensors"
    temporary = folder / f".{stem}.tmp"
    try:
        save_file(tensors, temporary)
        os.replace(temporary, target)
        temporary.write_text(json.dumps({"format": FORMAT, "network": network_name(network)} | meta, indent=2))
        os.replace(temporary, target.with_suffix(".json"))
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"{target}: checkpoint cannot be written ({error}). Free some space and resume.") from error
    for old in _complete_checkpoints(folder)[:-2]:
        old.with_suffix(".json").unlink()
        old.unlink()
    return target


def newest_checkpoint(folder: Path) -> Path | None:
    """Find the newest complete checkpoint in a training folder.

    Parameters
    ----------
    folder : Path
        Training folder.

    Returns
    -------
    Path or None
        The safetensors file; None if the folder has no complete checkpoint.

    Examples
    --------
    >>> newest_checkpoint(Path("/nonexistent")) is None
    True
    """
    complete = _complete_checkpoints(folder)
    return complete[-1] if complete else None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file or the newest checkpoint of a training folder.

    Parameters
    ----------
    path : Path
        Safetensors file or training folder.

    Returns
    -------
    Checkpoint
        Tensors and metadata.

    Raises
    ------
    BadInput
        If there is no checkpoint, the checkpoint is damaged, or its format version is not supported.

    Examples
    --------
    >>> load_checkpoint(Path("/nonexistent"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: /nonexistent: no checkpoint found ...
    """
    file = newest_checkpoint(path) if path.is_dir() else path
    if file is None or not file.exists():
        raise BadInput(
            f"{path}: no checkpoint found (expected step-NNNNNN.safetensors). Give a training folder of `shls train`."
        )
    try:
        meta = json.loads(file.with_suffix(".json").read_text())
        tensors = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInput(f"{file}: checkpoint is incomplete or damaged ({error}). Use an older checkpoint.") from error
    if meta.get("format") != FORMAT:
        raise BadInput(
            f"{file}: unsupported checkpoint format (got {meta.get('format')}, expected {FORMAT}). Train again."
        )
    return Checkpoint(tensors, meta)


def restore_network(checkpoint: Checkpoint, kind: type[Kind]) -> Kind:
    """Build the network of a checkpoint, in evaluation mode.

    Parameters
    ----------
    checkpoint : Checkpoint
        Tensors and metadata of `load_checkpoint`.
    kind : type
        Expected class of the network, or a base class of it.

    Returns
    -------
    nn.Module
        An instance of `kind` with the checkpoint's weights.

    Raises
    ------
    BadInput
        If the checkpoint belongs to another class of network, or its weights do not fit.

    Examples
    --------
    >>> weights = {f"model.{name}": tensor for name, tensor in EdgeNet().state_dict().items()}
    >>> restore_network(Checkpoint(weights, {"network": "shls-edge"}), EdgeNet).training
    False
    """
    name = checkpoint.meta.get("network")
    network = NETWORKS[name]() if name in NETWORKS else None
    if not isinstance(network, kind):
        fitting = " or ".join(known for known, network_class in NETWORKS.items() if issubclass(network_class, kind))
        raise BadInput(f"checkpoint: wrong network (got {name}, expected {fitting}). Give a matching checkpoint.")
    load_weights(network, checkpoint)
    return network.eval()


def load_network(path: Path, kind: type[Kind]) -> Kind:
    """Build the network of a checkpoint file or of a training folder's newest checkpoint.

    Parameters
    ----------
    path : Path
        Safetensors file or training folder.
    kind : type
        Expected class of the network, or a base class of it.

    Returns
    -------
    nn.Module
        An instance of `kind` in evaluation mode.

    Raises
    ------
    BadInput
        If `load_checkpoint` or `restore_network` refuses the checkpoint.

    Examples
    --------
    >>> network = load_network(Path("runs/edge"), EdgeNet)  # doctest: +SKIP
    """
    return restore_network(load_checkpoint(path), kind)


def network_name(network: nn.Module) -> str:
    """Look up the name of a network's class in `NETWORKS`.

    Examples
    --------
    >>> network_name(EdgeNet())
    'shls-edge'
    """
    return next(name for name, kind in NETWORKS.items() if type(network) is kind)


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's weights into a network, in place.

    Parameters
    ----------
    network : nn.Module
        Network of the class that the checkpoint names.
    checkpoint : Checkpoint
        Tensors and metadata of `load_checkpoint`.

    Raises
    ------
    BadInput
        If the checkpoint belongs to another class of network, or its weights do not fit.

    Examples
    --------
    >>> load_weights(EdgeNet(), Checkpoint({}, {"network": "saliency"}))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: checkpoint: wrong network (got saliency, expected shls-edge). ...
    """
    got, expected = checkpoint.meta.get("network"), network_name(network)
    if got != expected:
        raise BadInput(f"checkpoint: wrong network (got {got}, expected {expected}). Give a matching checkpoint.")
    weights = {n.removeprefix("model."): t for n, t in checkpoint.tensors.items() if n.startswith("model.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        problem = str(error).splitlines()[-1].strip()
        raise BadInput(
            f"checkpoint: weights do not fit the network ({problem}). Use the version that wrote it."
        ) from error


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's optimiser state into an optimiser, in place.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Optimiser with the parameter groups of the run.
    checkpoint : Checkpoint
        Tensors and metadata of `load_checkpoint`.

    Examples
    --------
    >>> optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(2))])
    >>> load_optimizer(optimizer, Checkpoint({"optimizer.0.step": torch.tensor(7.0)}, {}))
    >>> [state["step"] for state in optimizer.state.values()]
    [tensor(7.)]
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in checkpoint.tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _complete_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints that have both files, oldest first."""
    described = {p.stem for p in folder.glob("step-*.json")}
    return sorted(p for p in folder.glob("step-*.safetensors") if p.stem in described)
