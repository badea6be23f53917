"""Networks read back from ONNX: what comes out, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from shls.export.from_onnx import read_embedding
from shls.export.to_fp16 import to_fp16
from shls.runtime.backends.base import open_session
from shls.runtime.errors import BadInput, ContractMismatch
from shls_train.models.folding import embedding_digest


def test_it_computes_what_the_file_does(small_model: Path) -> None:
    network, session = read_embedding(small_model), open_session(small_model, threads=1)
    tensor = np.random.default_rng(1).normal(0, 1, (1, *session.contract.inputs["image"])).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(tensor))[0].numpy()
    np.testing.assert_allclose(session.run(tensor), expected, atol=1e-4)
    assert embedding_digest(network) == session.contract.checkpoint_sha256


def test_rounded_weights(small_model: Path, tmp_path: Path) -> None:
    to_fp16(small_model, tmp_path / "half.onnx")
    with pytest.raises(BadInput, match=r"\(got fp16, expected fp32\)"):
        read_embedding(tmp_path / "half.onnx")


def test_weights_that_are_not_what_the_contract_says(small_model: Path, tmp_path: Path) -> None:
    model = onnx.load(small_model)
    first = model.graph.initializer[0]
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first) * 2, first.name))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(BadInput, match="not the digest in the contract"):
        read_embedding(tmp_path / "other.onnx")


def test_weights_without_names(small_model: Path, tmp_path: Path) -> None:
    model = onnx.load(small_model)
    model.graph.initializer[0].name = "w"
    onnx.save(model, tmp_path / "nameless.onnx")
    with pytest.raises(BadInput, match="not the weights of shls-edge"):
        read_embedding(tmp_path / "nameless.onnx")


def test_a_refiner(small_refiner: Path) -> None:
    with pytest.raises(ContractMismatch, match=r"wrong role \(got 'refiner'"):
        read_embedding(small_refiner)
