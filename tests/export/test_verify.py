"""Two models on the same frames: what is the same passes, what is not is found, and pictures show where."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from shls.export import replay, verdict, verify
from shls.export.to_fp16 import to_fp16
from shls.runtime.backends.base import Session, open_session
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput, MissingDependency, ShapeMismatch, ShlsError
from shls.runtime.io.masks import write_mask

STRICT = verdict.Tolerance(0.99999, 0.995)


class Turned:
    """A session whose features are those of another, turned around from its second frame on."""

    def __init__(self, session: Session) -> None:
        self.contract, self.backend, self.on_gpu = session.contract, "turned", session.on_gpu
        self._session, self._runs = session, 0

    def run(self, tensor: np.ndarray) -> np.ndarray:
        self._runs += 1
        features = self._session.run(tensor)
        return features if self._runs == 1 else np.ascontiguousarray(features[:, ::-1, ::-1])


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    """A bright box that moves right over noise."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 60, (80, 120, 3)).astype(np.uint8)
    images = []
    for at in range(4):
        image = ground.copy()
        image[20:50, 20 + 4 * at : 60 + 4 * at] = (200, 180, 40)
        images.append(image)
    return images


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    labels = np.zeros((80, 120), np.uint8)
    labels[20:50, 20:60] = 3
    return labels


@pytest.fixture(scope="module")
def half(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    to_fp16(small_model, path)
    return path


def test_a_model_does_what_it_does(small_model: Path, clip: list[np.ndarray], mask: np.ndarray) -> None:
    session = open_session(small_model)
    found = verify.compare(session, session, clip, mask, STRICT)
    assert found.broken() == []
    assert [frame.iou for frame in found.frames] == [None, 1.0, 1.0, 1.0]
    assert all(frame.largest == 0 for frame in found.frames)
    assert found.cosines.min() == pytest.approx(1, abs=1e-5)


def test_a_checkpoint_and_its_export(small_checkpoint: Path, small_model: Path, clip: list[np.ndarray]) -> None:
    a, b = verify.open_either(small_checkpoint, small_model)
    assert (a.contract.width, a.contract.height) == (96, 64)
    assert a.contract.checkpoint_sha256 == b.contract.checkpoint_sha256, "of the same weights"
    found = verify.compare(a, b, clip, None, STRICT)
    assert found.broken() == []
    assert 0 < max(frame.largest for frame in found.frames) < 1e-4
    assert found.ious == []


def test_what_differs_is_found(small_model: Path, clip: list[np.ndarray], mask: np.ndarray, tmp_path: Path) -> None:
    session = open_session(small_model)
    done: list[int] = []
    found = verify.compare(session, Turned(session), clip, mask, STRICT, tmp_path / "pictures", done.append)
    assert done == [1, 2, 3, 4]
    assert any("cosine of superfeatures" in line for line in found.broken())
    assert 0 not in [frame.number for frame in found.worst(3)]
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [file.name for file in pictures] == ["00001.png", "00002.png", "00003.png"]
    assert cv2.imread(str(pictures[0])).shape == (80, 360, 3)


def test_not_a_number_breaks_tolerances() -> None:
    nan = np.full(3, np.nan)
    frame = verdict.Difference(1, 0.0, 0.0, float("nan"), nan, float("nan"))
    assert len(verdict.Verdict([frame], STRICT).broken()) == 2


def test_the_coarser_precision_decides(small_model: Path, half: Path) -> None:
    exact, rounded = open_session(small_model).contract, open_session(half).contract
    assert verdict.tolerance_for(exact, exact) == verdict.TOLERANCES["fp32"]
    assert verdict.tolerance_for(rounded, exact) == verdict.TOLERANCES["fp16"]


def test_models_of_two_sizes_are_refused(
    small_model: Path, small_checkpoint: Path, tmp_path: Path, clip: list[np.ndarray]
) -> None:
    from shls.export.to_onnx import export_onnx

    other = tmp_path / "other.onnx"
    export_onnx(small_checkpoint, other, 64, 128, clip[:1])
    with pytest.raises(ShapeMismatch, match="same --size"):
        verify.open_either(small_model, other)


def test_inputs_are_kept_and_replayed(tmp_path: Path, clip: list[np.ndarray], mask: np.ndarray) -> None:
    path = tmp_path / "inputs.npz"
    replay.save_inputs(path, clip, mask)
    images, labels = replay.load_inputs(path)
    np.testing.assert_array_equal(np.stack(images), np.stack(clip))
    np.testing.assert_array_equal(labels, mask)
    replay.save_inputs(path, clip, None)
    assert replay.load_inputs(path)[1] is None
    path.write_bytes(path.read_bytes()[:200])
    cv2.imwrite(str(tmp_path / "picture.png"), clip[0])
    for wrong in (path, tmp_path / "picture.png", tmp_path / "none.npz"):
        with pytest.raises(BadInput, match="cannot be replayed") as caught:
            replay.load_inputs(wrong)
        assert "pickle" not in str(caught.value), "numpy would have it loaded unsafely"


def test_the_command(small_model: Path, half: Path, clip: list[np.ndarray], mask: np.ndarray, tmp_path: Path) -> None:
    frames, first_mask, kept = tmp_path / "frames", tmp_path / "mask.png", tmp_path / "kept.npz"
    frames.mkdir()
    for index, image in enumerate(clip):
        cv2.imwrite(str(frames / f"{index:05d}.png"), image)
    write_mask(first_mask, mask)

    def shls_verify(*arguments: object) -> tuple[int, str]:
        shown = CliRunner().invoke(app, ["verify", *map(str, (small_model, half, *arguments))])
        return shown.exit_code, shown.output

    # With random weights and so small a frame, a rounding error turns the vote of whole superpixels.
    code, output = shls_verify("--on", frames, "--mask", first_mask, "--save-inputs", kept, "--iou", 0.5)
    assert code == 0, output
    assert "cosine of superfeatures" in output
    assert "fp16 on onnxruntime" in output
    code, output = shls_verify("--replay", kept, "--cosine", 1.1)
    assert code == 1
    assert "BROKEN: mean cosine of superfeatures" in output


def shls(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_is_missing_is_said_before_the_work(
    small_model: Path, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    refused = shls("verify", small_model, small_model, "--pictures", tmp_path / "file", "--on", "not looked at yet")
    assert isinstance(refused.exception, BadInput)
    assert "cannot be written" in str(refused.exception)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    refused = shls("verify", small_model, small_checkpoint, "--on", "not looked at yet")
    assert isinstance(refused.exception, MissingDependency)
    assert "Install the extra 'export' of shls: `pip install 'torch>=2.6'" in str(refused.exception)


def test_refiners_on_crops_and_masks(
    small_refiner_checkpoint: Path, small_refiner: Path, small_model: Path, frames_folder: Path, tmp_path: Path
) -> None:
    mask = np.zeros((80, 120), np.uint8)
    mask[20:60, 30:80] = 1
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    few = tmp_path / "few"  # random weights decide some pixels by less than the two differ: in a long clip that grows
    few.mkdir()
    for frame in sorted(frames_folder.iterdir())[:4]:
        shutil.copy(frame, few)
    given = ["--on", few, "--mask", tmp_path / "mask.png", "--embedding", small_model]
    same = shls("verify", small_refiner_checkpoint, small_refiner, *given, "--pictures", tmp_path / "worst")
    assert same.exit_code == 0, same.output
    assert "different weights" not in same.output
    assert "cosine of crops          1.000000 mean" in same.output
    assert "cosine of logits         1.000000 mean" in same.output
    assert "IoU of masks" in same.output
    assert len(list((tmp_path / "worst").iterdir())) == 3

    spoilt = onnx.load(small_refiner)
    weight = next(t for t in spoilt.graph.initializer if t.name == "head.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(-20 * onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(spoilt, tmp_path / "spoilt.onnx")
    broken = shls("verify", small_refiner, tmp_path / "spoilt.onnx", *given)
    assert broken.exit_code == 1
    assert "BROKEN: mean cosine of crops" in broken.output

    for arguments, message in (
        ([small_refiner, small_refiner, "--on", frames_folder, "--embedding", small_model], "Give --mask"),
        ([small_model, small_model, "--embedding", small_model], "--embedding: is for a refiner"),
        ([small_refiner, small_model, *given], "got 'embedding', expected 'refiner'"),
    ):
        error = shls("verify", *arguments).exception
        assert isinstance(error, ShlsError)
        assert message in str(error)
