"""A cluster of two nodes on this machine, one of which is killed in the middle: nothing is lost, nothing done twice."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shls.runtime.batch.output_folder import OutputFolder
from shls.runtime.batch.ray_engine import RayEngine
from shls.runtime.batch.run import run_batch
from shls.runtime.batch.tasks import Outcome, Row, Task, Wanted
from shls.runtime.errors import BadInput
from tests.fake_segmenters import Follows
from tests.runtime.batch import clips
from tests.runtime.batch.here import Here

ray = pytest.importorskip("ray", reason="the package ray is not installed")
ROOT = Path(__file__).parents[3]
NAMES = "abcdef"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    ray.shutdown()
    made.shutdown()


class KillsANode:
    """A display of progress that kills a node when the first video has ended."""

    def __init__(self, cluster: Any, node: Any) -> None:
        self._cluster, self._node = cluster, node
        self.begins: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    def plan(self, total: int, weights: dict[str, int]) -> None:
        assert (total, len(weights)) == (len(NAMES), len(NAMES))

    def begun(self, task: Task) -> None:
        self.begins[task.row.output] += 1

    def ended(self, outcome: Outcome) -> None:
        self.ends[outcome.output] += 1
        if sum(self.ends.values()) == 1:
            self._cluster.remove_node(self._node, allow_graceful=False)


def test_a_node_is_killed(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    rows = []
    for name in NAMES:
        video = clips.write_clip(tmp_path / f"{name}.mp4", frames=15)
        rows.append(Row(name, str(video), name, mask=video.with_suffix(".png")))
    engine = RayEngine(clips.slow, 1, cluster.address)
    assert engine.room() == 2
    display = KillsANode(cluster, node)
    folder, alone = OutputFolder(tmp_path / "out"), OutputFolder(tmp_path / "alone")
    summary = run_batch(rows, folder, {}, Wanted(), lambda _: (engine, 2), progress=display)
    assert summary.ok, [one.reason for one in summary.failed]
    assert display.ends == dict.fromkeys(NAMES, 1), "nothing is lost, and nothing ends twice"
    assert sum(display.begins.values()) == len(NAMES) + 1, "the video of the killed node was begun again"
    local = run_batch(rows, alone, {}, Wanted(), lambda _: (Here(Follows()), 1))
    assert [(one.key, one.digest) for one in summary.outcomes] == [(one.key, one.digest) for one in local.outcomes]
    again = run_batch(rows, folder, {}, Wanted(), lambda _: (engine, 2))
    assert {one.state for one in again.outcomes} == {"kept"}


def test_no_cluster() -> None:
    with pytest.raises(BadInput, match=r"ray: no cluster at 127.0.0.1:1 \(got "):
        RayEngine(clips.slow, 1, "127.0.0.1:1")
