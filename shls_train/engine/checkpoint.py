"""Checkpoints: tensors as safetensors, everything else as a small JSON file beside them.

``step-000200.safetensors`` holds the weights (``model.*``) and the optimiser's state (``optimizer.*``);
``step-000200.json`` is written last, so a checkpoint without it is one that a kill interrupted.
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
from ..models.r18 import R18Net
from ..models.r18_segmenter import R18Segmenter
from ..models.saliency_net import SaliencyNet

FORMAT = 1
EMBEDDINGS: dict[str, type[Embedding]] = {"shls-edge": EdgeNet, "shls-r18": R18Net}
REFINERS: dict[str, type[RefinerNetwork]] = {"shls-edge-refiner": EdgeRefiner, "shls-r18-refiner": R18Segmenter}
NETWORKS: dict[str, type[nn.Module]] = {**EMBEDDINGS, **REFINERS, "saliency": SaliencyNet}
"""Every kind of network, by the name that its checkpoints carry."""

REFINER_OF = {name: f"{name}-refiner" for name in EMBEDDINGS}
"""The second network that goes with an embedding."""

Kind = TypeVar("Kind", bound=nn.Module)


class Checkpoint(NamedTuple):
    """The tensors and the description of one saved state."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def save_checkpoint(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, meta: dict[str, Any]) -> Path:
    """Write a checkpoint whole, then drop all but the newest two.

    Parameters
    ----------
    folder : of the run
    network : one of `NETWORKS`
    optimizer : whose state is kept, too
    meta : "step" at least; the network's name and the format are added

    Raises
    ------
    BadInput
        If the disk does not take it; the older checkpoints stay as they are.
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
        raise BadInput(f"{target}: could not be written ({error}); free some space and resume") from error
    for old in _complete(folder)[:-2]:
        old.with_suffix(".json").unlink()
        old.unlink()
    return target


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in a training folder, if there is one."""
    complete = _complete(folder)
    return complete[-1] if complete else None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file, or the newest one in a training folder.

    Raises
    ------
    BadInput
        If there is none, if it is damaged, or if another version wrote it.
    """
    file = newest_checkpoint(path) if path.is_dir() else path
    if file is None or not file.exists():
        raise BadInput(f"{path}: no checkpoint; expected step-NNNNNN.safetensors as `shls train` writes it")
    try:
        meta = json.loads(file.with_suffix(".json").read_text())
        tensors = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInput(f"{file}: not a whole checkpoint ({error}); use an older one") from error
    if meta.get("format") != FORMAT:
        raise BadInput(f"{file}: checkpoint format {meta.get('format')}, expected {FORMAT}; train again or convert it")
    return Checkpoint(tensors, meta)


def restore_network(checkpoint: Checkpoint, kind: type[Kind]) -> Kind:
    """The network of a checkpoint, in evaluation mode.

    Parameters
    ----------
    kind : class that it must be of

    Raises
    ------
    BadInput
        If it is another network, or the weights are another's.
    """
    name = checkpoint.meta.get("network")
    network = NETWORKS[name]() if name in NETWORKS else None
    if not isinstance(network, kind):
        fitting = ", ".join(known for known, one in NETWORKS.items() if issubclass(one, kind))
        raise BadInput(f"checkpoint of the network {name}; expected {fitting}")
    load_weights(network, checkpoint)
    return network.eval()


def load_network(path: Path, kind: type[Kind]) -> Kind:
    """The network of a checkpoint file, or of the newest one in a training folder; see `restore_network`."""
    return restore_network(load_checkpoint(path), kind)


def network_name(network: nn.Module) -> str:
    """The name of a network's kind."""
    return next(name for name, kind in NETWORKS.items() if type(network) is kind)


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into a network; raises BadInput if they are another network's."""
    if checkpoint.meta.get("network") != network_name(network):
        raise BadInput(f"checkpoint of the network {checkpoint.meta.get('network')}; expected {network_name(network)}")
    weights = {n.removeprefix("model."): t for n, t in checkpoint.tensors.items() if n.startswith("model.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise BadInput(f"checkpoint of another network: {str(error).splitlines()[-1].strip()}") from error


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's optimiser state back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in checkpoint.tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _complete(folder: Path) -> list[Path]:
    described = {p.stem for p in folder.glob("step-*.json")}
    return sorted(p for p in folder.glob("step-*.safetensors") if p.stem in described)
