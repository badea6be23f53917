"""Profiles as text: one table, and two comparable profiles side by side."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shls.runtime.cli import main as cli
from shls.runtime.diagnostics.profile_text import compare, read_profile, table
from shls.runtime.errors import BadInput


def made_up(milliseconds: float = 10.0) -> dict[str, Any]:
    row = {"count": 40} | dict.fromkeys(("min", "mean", "p50", "p90", "p95", "p99", "max"), milliseconds)
    return {
        "schema": 3,
        "setup": {
            "source": "clip",
            "frame_size": [64, 48],
            "network_size": [32, 16],
            "objects": 1,
            "overlap": True,
            "network": "net",
            "precision": "fp32",
            "backend": "engine 1",
            "refiner": "net-refiner fp32 on engine 2",
            "threads": 2,
            "includes": "all of <it>",
        },
        "machine": {"processor": "chip", "cores": 2},
        "warm_up_s": 1.5,
        "frames": 40,
        "seconds": 0.4,
        "fps": 1000 / milliseconds,
        "stages": {"frame": row | {"std": 0.1}, "network": row | {"std": 0.1}},
        "drift": None,
        "parts": {"mean_ms": milliseconds, "of_frame": 0.985},
        "stopwatch": {"us_a_stage": 1.25, "stages_a_frame": 8.0, "of_frame": 0.0012},
        "variation": 0.01,
        "peak_rss_mb": 200.0,
        "peak_device_mb": {},
        "device": {"samples": [], "watts": None, "joules_per_frame": None, "throttled_seconds": None},
        "layers": [{"count": 10}, {"name": "conv1", "type": "Conv", "averageMs": 3.0, "percentage": 75.0}],
        "frame_ms": [milliseconds] * 40,
    }


def with_power(found: dict[str, Any], watts: float) -> dict[str, Any]:
    sample = {"time": 0.0, "clocks": {"gpu": 600.0}, "temperatures": {"tj": 50.0}, "power": {"VDD_IN": watts}}
    samples = [sample, sample | {"time": 1.0, "temperatures": {"tj": 61.0}}]
    device = {"samples": samples, "watts": watts, "joules_per_frame": watts / 100, "throttled_seconds": 0}
    return found | {"device": device, "drift": {"first_minute": 10.0, "last_minute": 10.5, "ratio": 1.05}}


def test_table() -> None:
    lines = table(made_up()).splitlines()
    assert lines[0] == "net fp32 32x16 on engine 1, 2 threads"
    assert lines[1] == "refiner: net-refiner fp32 on engine 2"
    assert next(line for line in lines if line.startswith("network")).split() == ["network"] + ["10.00"] * 7 + ["0.10"]
    assert "100.00 frames per second, peak memory 200 MB" in lines
    assert (
        "the parts sum up to 98.5% of a frame because they overlap; "
        "measuring takes 0.120% of it (8 stages, 1.2 us each)" in lines
    )
    assert "no readings of clocks, temperatures or power on this system" in lines
    assert lines[-1].split() == ["3.000", "ms", "75.0", "%", "Conv", "conv1"]


def test_table_with_power_and_heat() -> None:
    text = table(with_power(made_up(), 8.0))
    assert "8.0 W, 0.080 J per frame" in text
    assert "50 to 61 C" in text
    assert "first minute 10.0 ms a frame, last minute 10.5 ms" in text


def test_table_with_a_gpu_s_memory() -> None:
    assert "peak memory 200 MB, gpu 900 MB in use by all programs" in table(
        made_up() | {"peak_device_mb": {"gpu": 900.0}}
    )


def test_side_by_side() -> None:
    first = with_power(made_up(10), 4) | {"peak_device_mb": {"gpu": 500.0}}
    second = with_power(made_up(20), 6) | {"peak_device_mb": {"gpu": 1000.0}}
    rows = compare(first, second).splitlines()
    cells = {row.split("  ")[0]: row.split() for row in rows}
    assert cells["frame p50 ms"][-4:] == ["10.00", "20.00", "x", "2.00"]
    assert cells["fps"][-4:] == ["100.00", "50.00", "x", "0.50"]
    assert cells["watts"][-1] == "1.50"
    assert cells["peak gpu MB"][-4:] == ["500.00", "1000.00", "x", "2.00"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("frame_size", [1, 1]), ("objects", 2), ("source", "other"), ("overlap", False), ("refiner", None)],
)
def test_other_work_is_not_compared(key: str, value: object) -> None:
    other = copy.deepcopy(made_up())
    other["setup"][key] = value
    with pytest.raises(BadInput, match=f"not comparable: {key}"):
        compare(made_up(), other)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[]", "got schema list, expected 3"),
        ('{"schema": 9}', "got schema 9, expected 3"),
        ('{"schema": 3, "setup": {}, "stages": {}}', "lacks device, fps, machine"),
    ],
)
def test_what_is_no_profile(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match=words):
        read_profile(path)


def test_command_compares_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, milliseconds in zip(paths, (10.0, 5.0), strict=True):
        path.write_text(json.dumps(made_up(milliseconds)))
    result = CliRunner().invoke(cli.app, ["profile", "--compare", *map(str, paths)])
    assert result.exit_code == 0
    assert "x 2.00" in result.stdout
    for other in (["clip.mp4"], ["--sequential"], ["--threads", "1"], ["--device", "cpu"], ["--unrefined"]):
        clash = CliRunner().invoke(cli.app, ["profile", *other, "--compare", *map(str, paths)])
        assert isinstance(clash.exception, BadInput), other
