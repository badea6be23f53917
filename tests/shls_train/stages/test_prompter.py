"""The prompter's stage: frames, prompts, corrections, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shls.runtime.errors import BadInput
from shls_train.config import PrompterConfig
from shls_train.data.clips import ClipSize, Cutout
from shls_train.data.prompted import first_prompt, objects_of, pose_still, random_reach
from shls_train.data.scene_stream import SceneStream
from shls_train.engine.checkpoint import load_checkpoint, load_network
from shls_train.models.edge import Embedding
from shls_train.models.prompter import PRIOR_SCALE, PrompterNetwork
from shls_train.stages.prompter import PrompterTask, prompt_losses, train_prompter

CONFIG = PrompterConfig(steps=2, batch=3, height=64, width=96, crop=32)


@pytest.fixture
def embedding(small_checkpoint: Path) -> Embedding:
    return load_network(small_checkpoint, Embedding)  # type: ignore[type-abstract]


@pytest.fixture(autouse=True)
def _few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls_train.stages.prompter.FIRST_FRAMES", 3)
    monkeypatch.setattr("shls_train.stages.prompter.VALIDATION_FRAMES", 2)


def task_of(stills: Path, embedding: Embedding, config: PrompterConfig = CONFIG) -> PrompterTask:
    return PrompterTask(SceneStream(stills, None, ClipSize(1, config.height, config.width)), embedding, config)


def test_the_network_is_small_and_starts_as_the_linear_function() -> None:
    network = PrompterNetwork().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) <= 600_000
    features = torch.randn(1, 67, 16, 16)
    with torch.inference_mode():
        logits = network(torch.randn(1, 7, 64, 64), features)
    prior = features[:, -1].repeat_interleave(2, 1).repeat_interleave(2, 2) * PRIOR_SCALE
    torch.testing.assert_close(logits, prior)


def test_a_step_depends_on_seed_and_number_alone(stills: Path, embedding: Embedding) -> None:
    one, two = (task_of(stills, embedding) for _ in range(2))
    two.batch(0)
    for a, b in zip(one.batch(1), two.batch(1), strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.truth, b.truth)
        assert a.marks == b.marks


def test_prompts_are_corrected_as_a_user_does(stills: Path, embedding: Embedding) -> None:
    task = task_of(stills, embedding, replace(CONFIG, batch=12))
    batch = task.batch(0)
    assert {target.rounds for target in batch} == {0, 1, 2}
    before = [len(target.marks.points) + len(target.marks.negatives) for target in batch]
    rounds = [target.rounds for target in batch]
    losses = task.loss(batch)
    losses.loss.backward()
    assert losses.images == len(batch) + sum(rounds), "the network learns from every mask"
    assert all(parameter.grad is not None for parameter in task.network.parameters())
    for target, count, corrections in zip(batch, before, rounds, strict=True):
        assert target.last is not None
        assert target.rounds == 0
        assert count <= len(target.marks.points) + len(target.marks.negatives) <= count + corrections


def test_a_resumed_run_is_the_run_that_was_not_stopped(
    stills: Path, embedding: Embedding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shls_train.engine.loop.CHECKPOINT_EVERY", 1)
    whole = load_checkpoint(train_prompter(stills, embedding, tmp_path / "whole", CONFIG, lambda _: None, None))

    def stop(_: object) -> None:
        if list(out.glob("*.json")):
            raise KeyboardInterrupt

    out = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        train_prompter(stills, embedding, out, CONFIG, stop, None)
    resumed = load_checkpoint(train_prompter(stills, embedding, out, CONFIG, lambda _: None, None))
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name]), name
    header = (out / "validation.csv").read_text().splitlines()[0]
    assert header == "step,box,click,zoom,3 clicks"


@pytest.mark.parametrize(("option", "size"), [("height", 72), ("width", 100), ("crop", 48)])
def test_sizes_that_do_not_fit(stills: Path, embedding: Embedding, option: str, size: int) -> None:
    with pytest.raises(BadInput, match=f"--{option}: invalid size .got {size}"):
        task_of(stills, embedding, replace(CONFIG, **{option: size}))


def test_the_loss_falls_where_the_mask_is_right() -> None:
    truth = torch.zeros(2, 8, 8)
    truth[:, 2:6, 2:6] = 1
    right, wrong = prompt_losses(torch.stack([8 * truth[0] - 4, 4 - 8 * truth[1]]), truth)
    assert right < 0.2
    assert wrong > 2


def test_a_posed_still_keeps_its_object() -> None:
    still, mask = np.full((60, 80, 3), 40, np.uint8), np.zeros((60, 80), np.uint8)
    still[20:40, 30:50], mask[20:40, 30:50] = 220, 255
    clip = pose_still(Cutout(still, mask), np.random.default_rng(0), 96 * 64)
    image, labels = clip.frames[0], clip.labels[0]
    assert image.shape[:2] == labels.shape
    assert all(side % 16 == 0 for side in labels.shape)
    assert objects_of(labels) == [1]
    assert image[labels == 1].mean() > image[labels == 0].mean() + 60


def test_first_prompts_mark_the_object() -> None:
    truth = np.zeros((60, 80), bool)
    truth[20:40, 30:50] = True
    kinds = set()
    for seed in range(40):
        marks = first_prompt(truth, np.random.default_rng(seed))
        kinds.add((len(marks.boxes), len(marks.points)))
        assert all(truth[y, x] for x, y in marks.points)
        for left, top, right, bottom in marks.boxes:
            assert abs(np.array([left, top, right, bottom]) - [30, 20, 50, 40]).max() <= 4
    assert kinds == {(1, 0), (0, 1), (1, 1)}


def test_windows_of_first_clicks_suit_the_object() -> None:
    truth = np.zeros((60, 80), bool)
    truth[20:40, 30:50] = True
    sides = [random_reach(truth, np.random.default_rng(seed)) * 4800**0.5 for seed in range(50)]
    assert 20 <= min(sides) < 26
    assert 60 < max(sides) <= 80
