"""The embedding network that an ONNX file was made of, for training what goes with it where no checkpoint is left."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from shls.runtime.errors import BadInput
from shls.runtime.models.onnx_reader import read_contract
from shls_train.engine.checkpoint import EMBEDDINGS
from shls_train.models.edge import Embedding
from shls_train.models.folding import fold_batch_norm, weights_digest

from .to_fp16 import check_fp32


def read_embedding(path: Path) -> Embedding:
    """The network in an fp32 file of `shls export`, in evaluation mode, its batch normalisation folded.

    Raises
    ------
    BadInput
        If the file cannot be read, is rounded, or holds weights that cannot be read back.
    ContractMismatch
        If it is no embedding of this version.
    """
    contract = read_contract(path)
    check_fp32(contract, path)
    if contract.network not in EMBEDDINGS or contract.head is not None:
        raise BadInput(f"{path}: {contract.network} cannot be read back from ONNX; give its checkpoint")
    network = fold_batch_norm(EMBEDDINGS[contract.network]())
    tensors = {one.name: numpy_helper.to_array(one).copy() for one in onnx.load(path).graph.initializer}
    weights = {name: torch.from_numpy(tensors[name]) for name in network.state_dict() if name in tensors}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise BadInput(f"{path}: not the weights of {contract.network}; export it again") from error
    if weights_digest(network) != contract.checkpoint_sha256:
        raise BadInput(f"{path}: the weights are not those that its contract names; export it again")
    return network
