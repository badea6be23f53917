"""The loop with a tiny task: what it does with any stage."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shls.runtime.errors import BadInput
from shls_train.config import Schedule
from shls_train.engine import checkpoint, loop
from shls_train.engine.checkpoint import load_checkpoint, load_network, newest_checkpoint, restore_network
from shls_train.engine.loop import Losses, TrainingFailed, fit
from shls_train.engine.run_log import Progress
from shls_train.models.edge import EdgeNet

RECIPE = Schedule(steps=6, lr=0.1)


class Slope(nn.Module):
    """One number that should become 3."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))


class SlopeTask:
    """Data depend on the step alone; from step `bad_from` on the loss is `bad`."""

    def __init__(self, bad_from: int = 99, bad: float = math.inf) -> None:
        self.network = Slope()
        self.inputs: dict[str, Any] = {"points": 4}
        self._bad_from, self._bad = bad_from, bad

    def validate(self) -> dict[str, float]:
        return {"error": abs(3 - self.network.slope.item()), "training": float(self.network.training)}

    def pictures(self, folder: Path, step: int) -> None:
        folder.mkdir(exist_ok=True)
        (folder / f"{step}.txt").write_text(str(self.network.training))

    def batch(self, step: int) -> tuple[int, Tensor]:
        return step, torch.randn(4, generator=torch.Generator().manual_seed(step))

    def loss(self, batch: tuple[int, Tensor]) -> Losses:
        step, x = batch
        loss = ((self.network.slope * x - 3 * x) ** 2).mean()
        return Losses(
            loss * self._bad if step >= self._bad_from else loss, {"slope": self.network.slope.item()}, len(x)
        )


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    monkeypatch.setitem(checkpoint.NETWORKS, "slope", Slope)


def quiet(_: Progress) -> None:
    pass


def test_any_task_learns_and_is_logged(tmp_path: Path) -> None:
    told: list[Progress] = []
    path = fit(SlopeTask(), tmp_path / "deep" / "run", RECIPE, told.append)
    assert told[-1].loss < told[0].loss
    assert load_network(path, Slope).slope.item() > 0
    rows = (tmp_path / "deep" / "run" / "log.csv").read_text().splitlines()
    assert rows[0] == "step,loss,slope,lr,images_per_second"
    assert rows[1] == f"1,{told[0].loss:.5f},0.00000,1.000e-01,{told[0].images_per_second:.2f}"
    assert len(rows) == 7


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    path = fit(SlopeTask(), tmp_path, RECIPE, quiet)
    before = path.read_bytes(), (tmp_path / "log.csv").read_bytes()
    told: list[Progress] = []
    assert fit(SlopeTask(), tmp_path, RECIPE, told.append) == path
    assert not told
    assert before == (path.read_bytes(), (tmp_path / "log.csv").read_bytes())


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, bad: float) -> None:
    with pytest.raises(
        TrainingFailed,
        match=rf"step 6: loss is not finite \(got {bad}\)\. The last good checkpoint is .*step-000004.safetensors\.",
    ):
        fit(SlopeTask(bad_from=5, bad=bad), tmp_path, RECIPE, quiet)
    assert newest_checkpoint(tmp_path) == tmp_path / "step-000004.safetensors"
    kept = load_checkpoint(tmp_path).tensors
    assert kept
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 6
    fit(SlopeTask(), tmp_path, RECIPE, quiet)
    whole = [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().splitlines()]
    assert whole == ["step", "1", "2", "3", "4", "5", "6"], "cut back to the checkpoint, then gone on"


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    fit(SlopeTask(), tmp_path, RECIPE, quiet)
    other = SlopeTask()
    other.inputs = {"points": 5}
    with pytest.raises(
        BadInput, match=r"settings differ from the run's \(got points 5, expected points 4\)\. Choose another --out"
    ):
        fit(other, tmp_path, RECIPE, quiet)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    loaded = load_checkpoint(fit(SlopeTask(), tmp_path, RECIPE, quiet))
    with pytest.raises(BadInput, match=r"got slope, expected shls-edge\)"):
        restore_network(loaded, EdgeNet)
    with pytest.raises(BadInput, match=r"got unheard, expected slope\)"):
        restore_network(loaded._replace(meta=loaded.meta | {"network": "unheard"}), Slope)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="training folder cannot be created"):
        fit(SlopeTask(), tmp_path / "file" / "run", RECIPE, quiet)


def test_validation_and_pictures_come_with_the_checkpoints(tmp_path: Path) -> None:
    told: list[Progress] = []
    fit(SlopeTask(), tmp_path, RECIPE, told.append)
    assert [bool(at.validation) for at in told] == [False, True] * 3
    rows = list(csv.DictReader((tmp_path / "validation.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert all(float(row["training"]) == 0 for row in rows), "in evaluation mode"
    assert float(rows[2]["error"]) < float(rows[0]["error"])
    assert {path.name: path.read_text() for path in (tmp_path / "pictures").iterdir()} == {
        "2.txt": "False", "4.txt": "False", "6.txt": "False",
    }  # fmt: skip


def test_tables_of_a_killed_run_are_cut_back(tmp_path: Path) -> None:
    fit(SlopeTask(), tmp_path, RECIPE, quiet)
    whole = [(tmp_path / name).read_text() for name in ("log.csv", "validation.csv")]
    for suffix in ("json", "safetensors"):
        (tmp_path / f"step-000006.{suffix}").unlink()
    fit(SlopeTask(), tmp_path, RECIPE, quiet)
    again = [(tmp_path / name).read_text() for name in ("log.csv", "validation.csv")]
    assert [row.split(",")[:3] for row in again[0].split()] == [row.split(",")[:3] for row in whole[0].split()]
    assert again[1] == whole[1]


def events_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the scalars of a run as TensorBoard shows them: steps and values by name."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    events = accumulator.EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_scalars_go_to_tensorboard(tmp_path: Path) -> None:
    told: list[Progress] = []
    fit(SlopeTask(), tmp_path, RECIPE, told.append)
    events = events_of(tmp_path)
    names = {"train/loss", "train/slope", "lr", "images_per_second", "validation/error", "validation/training"}
    assert set(events) == names
    assert events["train/loss"] == [(at.step, pytest.approx(at.loss)) for at in told]
    assert [step for step, _ in events["validation/error"]] == [2, 4, 6]


def test_a_resumed_run_replaces_later_steps_in_tensorboard(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed):
        fit(SlopeTask(bad_from=5), tmp_path, RECIPE, quiet)  # five steps, the checkpoint is of the fourth
    assert [step for step, _ in events_of(tmp_path)["train/loss"]] == [1, 2, 3, 4, 5]
    fit(SlopeTask(), tmp_path, RECIPE, quiet)
    assert [step for step, _ in events_of(tmp_path)["train/loss"]] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_gets_no_further_event_file(tmp_path: Path) -> None:
    for _ in range(2):
        fit(SlopeTask(), tmp_path, RECIPE, quiet)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


def test_training_goes_on_without_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    fit(SlopeTask(), tmp_path, RECIPE, quiet)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 7
    assert not list(tmp_path.glob("events.*"))
    assert [record.getMessage() for record in caplog.records if record.name == "shls"] == [
        "TensorBoard event files are not written: tensorboard is not installed. Run `pip install tensorboard`."
    ]


def test_bad_weights_are_not_kept(tmp_path: Path) -> None:
    class Broken(SlopeTask):
        def loss(self, batch: tuple[int, Tensor]) -> Losses:
            losses = super().loss(batch)
            if batch[0] == 3:  # the loss is fine, its gradient is not
                losses = losses._replace(loss=losses.loss + (self.network.slope * 0).sqrt().sum())
            return losses

    with pytest.raises(TrainingFailed, match=r"step 4: a weight is not finite\. .*step-000002"):
        fit(Broken(), tmp_path, RECIPE, quiet)
    assert newest_checkpoint(tmp_path) == tmp_path / "step-000002.safetensors"


def test_a_task_that_fails_tells_where(tmp_path: Path) -> None:
    class Dead(SlopeTask):
        def loss(self, _: tuple[int, Tensor]) -> Losses:
            raise TrainingFailed("the features are dead")

    with pytest.raises(
        TrainingFailed, match=r"step 1: the features are dead\. The last good checkpoint is none\. Start"
    ):
        fit(Dead(), tmp_path, RECIPE, quiet)


def test_a_disk_that_takes_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shls_train.engine.run_log._Table.write", full)
    with pytest.raises(BadInput, match=r"No space left on device.*Free some space and resume"):
        fit(SlopeTask(), tmp_path, RECIPE, quiet)
