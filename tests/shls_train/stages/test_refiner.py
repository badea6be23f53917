"""The refiner's stage: its inputs, its loss against the runtime, resuming, and export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from shls.export.refiner_to_onnx import export_refiner
from shls.runtime.backends.base import open_session
from shls.runtime.backends.ort import OrtRefiner
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.models.contract import RefinerContract
from shls.runtime.refinement.crops import CHANNELS, PRIOR_SCALE, CropChannel
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.types import Crops
from shls_train.config import RefinerConfig
from shls_train.data.clips import ClipSize
from shls_train.data.scene_stream import SceneStream
from shls_train.engine.checkpoint import load_checkpoint, load_network
from shls_train.engine.loop import CHECKPOINT_EVERY
from shls_train.losses.refinement import frame_loss
from shls_train.models.edge import Embedding
from shls_train.models.edge_refiner import EdgeRefiner
from shls_train.stages.refiner import ROUND, RefinerTask, score_refinement, train_refiner
from shls_train.validation.rollout import FOLLOWED, Sample, followed, mirrored

CONFIG = RefinerConfig(steps=2, batch=2, clips=1, frames=3, height=64, width=96, crop=32, superpixels=60)

LONG = replace(CONFIG, steps=2 * ROUND, clips=2)


@pytest.fixture(scope="module")
def run(stills: Path, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder after two steps."""
    out = tmp_path_factory.mktemp("refiner")
    train_refiner(stills, embedding_of(small_checkpoint), out, CONFIG, lambda _: None, None)
    return out


def embedding_of(checkpoint: Path) -> Embedding:
    return load_network(checkpoint, Embedding)  # type: ignore[type-abstract]


def task_of(stills: Path, embedding: Path, config: RefinerConfig = CONFIG) -> RefinerTask:
    size = ClipSize(config.frames, config.height, config.width)
    return RefinerTask(SceneStream(stills, None, size), embedding_of(embedding), config)


def crops_of(count: int) -> Crops:
    rng = np.random.default_rng(1)
    planes = rng.dirichlet(np.ones(count + 1), (40, 60)).astype(np.float32)
    boxes = np.array([(3, 5, 30, 37), (20, 0, 60, 25), (40, 10, 55, 30)][:count], np.int64)
    images = rng.standard_normal((count, CHANNELS, 32, 32), np.float32)
    features = rng.standard_normal((count, 64, 8, 8), np.float32)
    return Crops(planes, np.arange(1, count + 1), boxes, images, features)


def test_a_new_refiner_leaves_the_prior_as_it_is() -> None:
    crops = crops_of(2)
    with torch.inference_mode():
        logits = EdgeRefiner().eval()(torch.from_numpy(crops.images), torch.from_numpy(crops.features))
    np.testing.assert_allclose(logits.numpy(), crops.images[:, CropChannel.PRIOR] * PRIOR_SCALE, atol=1e-6)


def test_a_step_depends_on_seed_and_number_alone(stills: Path, small_checkpoint: Path) -> None:
    one, two = (task_of(stills, small_checkpoint, LONG) for _ in range(2))
    two.batch(ROUND)
    ours, theirs = one.batch(0).clips, two.batch(0).clips
    assert ours
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.clip.frames, b.clip.frames)
        np.testing.assert_array_equal(a.features, b.features)


def test_a_resumed_run_is_the_run_that_was_not_stopped(
    stills: Path, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shls_train.engine.loop.CHECKPOINT_EVERY", 1)
    monkeypatch.setattr("shls_train.stages.refiner.ROUND", 1)
    embedding = embedding_of(small_checkpoint)
    whole = load_checkpoint(train_refiner(stills, embedding, tmp_path / "whole", CONFIG, lambda _: None, None))

    def stop(_: object) -> None:
        if list(out.glob("*.json")):
            raise KeyboardInterrupt

    out = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        train_refiner(stills, embedding, out, CONFIG, stop, None)
    resumed = load_checkpoint(train_refiner(stills, embedding, out, CONFIG, lambda _: None, None))
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name]), name


def test_clips_are_drawn_once_in_a_round(stills: Path, small_checkpoint: Path) -> None:
    assert CHECKPOINT_EVERY % ROUND == 0, "what is resumed begins with a round"
    task = task_of(stills, small_checkpoint, LONG)
    drawn = {step: len(batch.clips) for step in range(LONG.steps) if (batch := task.batch(step)).clips}
    assert drawn == {0: 1, ROUND // 2: 1}, "those of the second round, in the first one"


def test_a_mirrored_sample_costs_the_same() -> None:
    crops, truth = crops_of(3), np.random.default_rng(4).integers(0, 4, (40, 60))
    logits = torch.from_numpy(np.random.default_rng(5).normal(0, 2, (3, 32, 32)).astype(np.float32))
    other = mirrored(Sample(crops, truth))
    assert frame_loss(other, logits.flip(2)).item() == pytest.approx(frame_loss(Sample(crops, truth), logits).item())
    np.testing.assert_array_equal(mirrored(other).crops.boxes, crops.boxes)


def test_what_is_lost_is_not_learned_from() -> None:
    crops = crops_of(2)
    planes = np.zeros((40, 60, 3), np.float32)
    planes[:20, :30, 1] = planes[20:, :, 2] = 1
    planes[..., 0] = 1 - planes.sum(2)
    truth = np.zeros((40, 60), np.int64)
    truth[:20, :16] = 1  # 16 of 30 columns: just followed
    truth[20:, :29] = 2  # 29 of 60: lost
    kept = followed(Sample(crops._replace(planes=planes), truth))
    assert kept.crops.objects.tolist() == [1]
    np.testing.assert_array_equal(kept.crops.images, crops.images[:1])
    np.testing.assert_array_equal(kept.crops.features, crops.features[:1])
    np.testing.assert_array_equal(kept.crops.boxes, crops.boxes[:1])
    np.testing.assert_array_equal(kept.truth, truth)


def test_validation_tells_what_pixels_are_worth(stills: Path, small_checkpoint: Path) -> None:
    found = task_of(stills, small_checkpoint).validate()
    assert set(found) == {"J memory", "J refined", "J before", "J after"}
    assert all(0 <= value <= 1 for value in found.values())
    assert found["J before"] >= FOLLOWED


def test_a_refiner_that_knows_the_truth() -> None:
    crops = crops_of(1)
    truth = np.zeros((40, 60), np.int64)
    truth[10:30, 8:24] = 1
    ((left, top, right, bottom),) = crops.boxes

    class Knowing:
        def run(self, crops: Crops) -> np.ndarray:
            part = (truth[top:bottom, left:right] * 12.0 - 6).astype(np.float32)
            return cv2.resize(part, crops.images.shape[2:], interpolation=cv2.INTER_LINEAR)[None]

    crops.planes[...] = [0.9, 0.1]
    crops.planes[10:30, 8:16] = [0.2, 0.8]
    before, after = score_refinement(Sample(crops, truth), Knowing())  # type: ignore[arg-type]
    assert before == pytest.approx(0.5)
    assert after > 0.9


def test_a_corrupt_still_does_not_end_the_run(
    stills: Path, small_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for still in stills.glob("*.png"):
        (tmp_path / still.name).write_bytes(still.read_bytes() if int(still.stem) % 3 else b"no image")
    last = train_refiner(tmp_path, embedding_of(small_checkpoint), tmp_path / "run", CONFIG, lambda _: None, None)
    assert last.name == "step-000002.safetensors"
    assert "not a readable image" in caplog.text
    assert "were unreadable and left out" in caplog.text


def test_an_embedding_of_another_kind(run: Path) -> None:
    with pytest.raises(BadInput, match=r"got shls-edge-refiner, expected shls-edge or shls-r18\)"):
        embedding_of(run)


@pytest.mark.parametrize("visible", [0, 2])
def test_frames_in_which_nothing_is_seen(
    stills: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, visible: int
) -> None:
    """They teach nothing; and where that is all there is, nothing is learned."""
    task = task_of(stills, small_checkpoint)
    monkeypatch.setattr("shls_train.stages.refiner.roll_out", lambda *_: list(samples(visible)))
    losses = task.loss(task.batch(0))
    losses.loss.backward()
    gradients = [float(p.grad.abs().sum()) for p in task.network.parameters() if p.grad is not None]
    assert (losses.images > 0) == (sum(gradients) > 0) == (visible > 0)
    assert np.isfinite(gradients).all()


def samples(count: int) -> Iterator[Sample]:
    for _ in range(count):
        yield Sample(crops_of(1), np.ones((40, 60), np.int64))


@pytest.mark.parametrize("dynamic", [True, False])
def test_the_exported_refiner_computes_the_same(run: Path, tmp_path: Path, dynamic: bool) -> None:
    report = export_refiner(run, tmp_path / "refiner.onnx", dynamic)
    assert report.near.difference <= 1e-4
    refiner, crops = OrtRefiner(tmp_path / "refiner.onnx", 1, "cpu"), crops_of(3)
    network = load_network(run, EdgeRefiner)
    with torch.inference_mode():
        expected = network(torch.from_numpy(crops.images), torch.from_numpy(crops.features)).numpy()
    np.testing.assert_allclose(refiner.run(crops), expected, atol=1e-3)


def test_a_refiner_follows_with_its_embedding_only(run: Path, small_model: Path, tmp_path: Path) -> None:
    export_refiner(run, tmp_path / "refiner.onnx", True)
    refiner, session = OrtRefiner(tmp_path / "refiner.onnx", 1, "cpu"), open_session(small_model)
    assert refiner.contract.embedding_sha256 == session.contract.checkpoint_sha256
    VideoSegmenter(session, refiner)
    refiner.contract = replace(refiner.contract, embedding_sha256="of another")
    with pytest.raises(ContractMismatch, match="belong together"):
        VideoSegmenter(session, refiner)


def test_the_roles_are_told_apart(run: Path, small_model: Path, tmp_path: Path) -> None:
    export_refiner(run, tmp_path / "refiner.onnx", True)
    with pytest.raises(ContractMismatch, match="got 'refiner', expected 'embedding'"):
        open_session(tmp_path / "refiner.onnx")
    with pytest.raises(ContractMismatch, match="got 'embedding', expected 'refiner'"):
        OrtRefiner(small_model)
    with pytest.raises(ContractMismatch, match="not a JSON object"):
        RefinerContract.from_json("{")
