"""Watts from the energy counters of PCs, on trees as their kernels show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from shls.runtime.hardware.rapl import Powercap, hidden
from shls.runtime.hardware.sensors import Sample

BASE = "sys/class/powercap"
ZONES = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "dram",
    "intel-rapl:1": "package-1",
    "intel-rapl:1:0": "dram",
    "intel-rapl-mmio:0": "package-0",
}


def write(root: Path, energies: dict[str, int]) -> None:
    for zone, energy in energies.items():
        folder = root / BASE / zone
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(ZONES[zone] + "\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
        (folder / "energy_uj").write_text(f"{energy}\n")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_watts_are_the_counters_difference_over_time(tmp_path: Path) -> None:
    clock = Clock()
    write(tmp_path, dict.fromkeys(ZONES, 1_000_000))
    meter = Powercap(tmp_path, clock)
    assert meter.read() == Sample(), "one reading is no difference"
    clock.now += 2
    write(tmp_path, {"intel-rapl:0": 31_000_000, "intel-rapl:0:0": 20_000_000, "intel-rapl:0:1": 5_000_000})
    sample = meter.read()
    assert sample.power == {"package-0": 15.0, "dram": 2.0, "package-1": 0.0, "dram 1:0": 0.0}
    assert sample.watts == 17.0, "the cores are in their package"


def test_readings_close_together_repeat_the_last(tmp_path: Path) -> None:
    clock = Clock()
    write(tmp_path, {"intel-rapl:0": 0})
    meter = Powercap(tmp_path, clock)
    meter.read()
    for seconds, energy, watts in ((1.0, 9_000_000, 9.0), (0.01, 9_900_000, 9.0), (0.99, 12_000_000, 3.0)):
        clock.now += seconds
        write(tmp_path, {"intel-rapl:0": energy})
        assert meter.read().watts == pytest.approx(watts)


def test_a_counter_that_began_again(tmp_path: Path) -> None:
    clock = Clock()
    write(tmp_path, {"intel-rapl:0": 262_143_328_850 - 4_000_000})
    meter = Powercap(tmp_path, clock)
    meter.read()
    clock.now += 1
    write(tmp_path, {"intel-rapl:0": 6_000_000})
    assert meter.read().watts == pytest.approx(10.0)


def test_no_counters_and_counters_that_may_not_be_read(tmp_path: Path) -> None:
    assert (Powercap(tmp_path).read(), hidden(tmp_path)) == (Sample(), False)
    write(tmp_path, {"intel-rapl:0": 1})
    assert not hidden(tmp_path)
    file = tmp_path / BASE / "intel-rapl:0" / "energy_uj"
    file.unlink()
    file.mkdir()  # root may read every file, but no folder
    assert (Powercap(tmp_path).read(), hidden(tmp_path)) == (Sample(), True)
