"""Checkpoint to ONNX: the same numbers, the contract inside, nothing half-written."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from shls.calib.onnx_files import read_model
from shls.export import comparison, to_onnx
from shls.export.to_onnx import export_onnx
from shls.runtime.backends.base import open_session
from shls.runtime.errors import BadInput, ContractMismatch, ExportFailed
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.contract import METADATA_KEY, Contract
from shls_train.engine.checkpoint import load_network, save_checkpoint
from shls_train.models.edge import EdgeNet
from shls_train.models.folding import fold_batch_norm
from shls_train.stages.embedding import normalise

FRAMES = [np.random.default_rng(i).integers(0, 255, (50, 70, 3), np.uint8) for i in range(2)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = EdgeNet()
    network(torch.randn(4, 3, 64, 64))  # batch normalisation gets statistics that are not the initial ones
    folder = tmp_path_factory.mktemp("run")
    return save_checkpoint(folder, network, torch.optim.AdamW(network.parameters()), {"step": 1})


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(checkpoint, tmp_path_factory.mktemp("onnx") / "model.onnx", 48, 64, FRAMES).path


def test_report_and_contract(checkpoint: Path, tmp_path: Path) -> None:
    report = export_onnx(checkpoint, tmp_path / "new" / "model.onnx", 32, 48, FRAMES)
    assert report.near.difference < 1e-4
    assert report.near.over == 2
    written = onnx.load(report.path)
    contract = Contract.from_json({p.key: p.value for p in written.metadata_props}[METADATA_KEY])
    assert contract == report.contract
    assert (contract.height, contract.width, contract.dim, contract.stride) == (32, 48, 64, 4)
    assert [(o.domain, o.version) for o in written.opset_import] == [("", 18)]
    shape = [d.dim_value for d in written.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, 3, 32, 48]


def test_only_what_builders_like(model: Path) -> None:
    written = onnx.load(model)
    assert {node.op_type for node in written.graph.node} <= {
        "Conv", "Relu", "Add", "Resize", "ReduceL2", "Clip", "Expand", "Div",
    }  # fmt: skip
    assert all(not node.metadata_props and not node.doc_string for node in written.graph.node)


def test_the_session_computes_what_torch_does(checkpoint: Path, model: Path) -> None:
    session = open_session(model, threads=1)
    network = load_network(checkpoint, EdgeNet)
    tensor = to_input(FRAMES[0], session.contract)
    with torch.inference_mode():
        expected = network(torch.from_numpy(tensor))[0].numpy()
    features = session.run(tensor)
    assert features.shape == (64, 12, 16)
    np.testing.assert_allclose(features, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(features, axis=0), 1, atol=1e-5)


def test_training_and_runtime_normalise_alike(model: Path) -> None:
    contract = open_session(model, threads=1).contract
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    np.testing.assert_allclose(normalise(torch.from_numpy(image[None])).numpy(), to_input(image, contract), atol=1e-6)


def test_folding_changes_nothing(checkpoint: Path) -> None:
    network = load_network(checkpoint, EdgeNet)
    folded = fold_batch_norm(network)
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), network(x), atol=1e-5, rtol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())


def test_a_wrong_export_is_refused(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "TOLERANCE", -1.0)
    with pytest.raises(ExportFailed, match="outputs differ from those of torch"):
        export_onnx(checkpoint, tmp_path / "model.onnx", 32, 32, FRAMES)
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_do_not_fit(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="multiples of 16"):
        export_onnx(checkpoint, tmp_path / "model.onnx", 33, 48, FRAMES)
    with pytest.raises(BadInput, match="at most 4096 pixels a side"):
        export_onnx(checkpoint, tmp_path / "model.onnx", 48, 99999968, FRAMES)


def test_a_killed_export_leaves_the_model_of_before(checkpoint: Path, tmp_path: Path) -> None:
    """And what it leaves of its own, the next export takes away."""
    out = tmp_path / "model.onnx"
    out.write_bytes(b"of before")
    process = multiprocessing.get_context("spawn").Process(target=killed_export, args=(checkpoint, out))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert out.read_bytes() == b"of before"
    assert len(list(tmp_path.iterdir())) == 2
    export_onnx(checkpoint, out, 32, 48, FRAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def killed_export(checkpoint: Path, out: Path) -> None:
    """Runs in a process of its own, and ends with it when the file is written but not compared yet."""
    to_onnx._compare = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    export_onnx(checkpoint, out, 32, 48, FRAMES)


def test_no_place_to_write(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"model\.onnx: cannot be written .*Choose another place"):
        export_onnx(checkpoint, tmp_path / "file" / "model.onnx", 32, 32, FRAMES)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no checkpoint found"):
        export_onnx(tmp_path, tmp_path / "model.onnx", 32, 32, FRAMES)


def rewrite(model: Path, target: Path, contract: str | None) -> Path:
    written = onnx.load(model)
    onnx.helper.set_model_props(written, {METADATA_KEY: contract} if contract is not None else {})
    onnx.save(written, target)
    return target


def test_models_that_are_not_ours(model: Path, tmp_path: Path) -> None:
    ours = {p.key: p.value for p in onnx.load(model).metadata_props}[METADATA_KEY]
    values = json.loads(ours)
    cases = [
        (None, "no shls contract"),
        ("{", "not a JSON object"),
        (json.dumps(values | {"version": 99}), "unknown version .got 99 of shls .*expected 1 or 2"),
        (json.dumps({k: v for k, v in values.items() if k != "height"}), "incomplete"),
        (json.dumps(values | {"height": 96}), r"inputs differ from its contract .* expected .*\(3, 96, 64\)"),
        (
            json.dumps(values | {"output": "masks"}),
            r"outputs differ from its contract \(got \['features'\], expected \['masks'\]",
        ),
    ]
    for contract, message in cases:
        with pytest.raises(ContractMismatch, match=message):
            open_session(rewrite(model, tmp_path / "other.onnx", contract))
        with pytest.raises(ContractMismatch, match=message):
            read_model(tmp_path / "other.onnx")


def test_another_opset_is_refused(model: Path, tmp_path: Path) -> None:
    written = onnx.load(model)
    written.opset_import[0].version = 17
    onnx.save(written, tmp_path / "old.onnx")
    with pytest.raises(ContractMismatch, match=r"got 17, in its contract 18"):
        open_session(tmp_path / "old.onnx")
    (entry,) = [entry for entry in written.metadata_props if '"opset": 18' in entry.value]
    entry.value = entry.value.replace('"opset": 18', '"opset": 17')
    onnx.save(written, tmp_path / "old.onnx")
    with pytest.raises(ContractMismatch, match=r"in its contract 17, expected 18"):
        open_session(tmp_path / "old.onnx")


def test_what_onnxruntime_refuses_is_said(model: Path, tmp_path: Path) -> None:
    written = onnx.load(model)
    written.graph.node[0].op_type = "Convolution"
    onnx.save(written, tmp_path / "odd.onnx")
    with pytest.raises(BadInput, match=r"onnxruntime cannot open the file.*Export it again"):
        open_session(tmp_path / "odd.onnx")


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such model"):
        open_session(tmp_path / "nothing.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(BadInput, match="not a whole ONNX file"):
        open_session(tmp_path / "bad.onnx")
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(BadInput, match=r"expected \.onnx or \.engine"):
        open_session(tmp_path / "model.pt")
