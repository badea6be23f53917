"""Readers of clocks, temperatures and power, on trees and log lines as Jetsons and PCs have them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shls.runtime.hardware.jetson import (
    Tegrastats,
    jetpack_of,
    jetson_model,
    l4t_release,
    parse_tegrastats,
    power_mode,
)
from shls.runtime.hardware.sampler import Sampler
from shls.runtime.hardware.sensors import Sample, read_sysfs

ORIN = (
    "11-22-2026 10:00:00 RAM 3041/7620MB (lfb 6x4MB) SWAP 0/3810MB (cached 0MB) "
    "CPU [12%@1510,3%@1510,off,off,0%@729,0%@729] EMC_FREQ 4%@2133 GR3D_FREQ 61%@[624] NVDEC off "
    "cpu@48.187C soc2@47.5C soc0@46.8C gpu@48.6C tj@48.6C cv0@-256C "
    "VDD_IN 6012mW/5800mW VDD_CPU_GPU_CV 2011mW/1800mW VDD_SOC 1501mW/1490mW"
)
NANO = (
    "RAM 1903/3964MB (lfb 120x4MB) SWAP 0/1982MB (cached 0MB) CPU [22%@1479,18%@1479,15%@1479,off] "
    "EMC_FREQ 2%@1600 GR3D_FREQ 0%@76 PLL@31C CPU@33.5C PMIC@100C GPU@31C AO@39C thermal@32.25C "
    "POM_5V_IN 2156mW/2156mW POM_5V_GPU 40mW/40mW POM_5V_CPU 403mW/403mW"
)


def record(root: Path, files: dict[str, str]) -> Path:
    """Write a tree such as /sys shows it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def orin(root: Path) -> Path:
    thermal, hwmon = "sys/class/thermal", "sys/class/hwmon/hwmon1"
    return record(
        root,
        {
            f"{thermal}/thermal_zone0/type": "cpu-thermal",
            f"{thermal}/thermal_zone0/temp": "48187",
            f"{thermal}/thermal_zone1/type": "gpu-thermal",
            f"{thermal}/thermal_zone1/temp": "50125",
            f"{thermal}/thermal_zone2/type": "cv0-thermal",
            f"{thermal}/thermal_zone2/temp": "-256000",
            f"{thermal}/cooling_device0/type": "pwm-fan",
            f"{thermal}/cooling_device0/cur_state": "2",
            f"{thermal}/cooling_device1/type": "17000000.gpu",
            f"{thermal}/cooling_device1/cur_state": "3",
            f"{thermal}/cooling_device1/max_state": "10",
            f"{thermal}/cooling_device2/type": "cpufreq-cpu0",
            f"{thermal}/cooling_device2/cur_state": "0",
            f"{hwmon}/name": "ina3221",
            f"{hwmon}/in1_label": "VDD_IN",
            f"{hwmon}/in1_input": "5080",
            f"{hwmon}/curr1_input": "1200",
            f"{hwmon}/in2_label": "VDD_CPU_GPU_CV",
            f"{hwmon}/in2_input": "5080",
            f"{hwmon}/curr2_input": "400",
            f"{hwmon}/in3_label": "NC",
            f"{hwmon}/in3_input": "0",
            f"{hwmon}/curr3_input": "0",
            "sys/class/devfreq/17000000.gpu/cur_freq": "624750000",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "729600",
            "sys/devices/system/cpu/cpu10/cpufreq/scaling_cur_freq": "1510400",
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic",
            "var/lib/nvpmodel/status": "pmode:0002",
            "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nCPU 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >",
        },
    )


def test_a_jetson_s_tree(tmp_path: Path) -> None:
    sample = read_sysfs(orin(tmp_path))
    assert sample.temperatures == {"cpu-thermal": 48.187, "gpu-thermal": 50.125}
    assert sample.power == {"VDD_IN": pytest.approx(6.096), "VDD_CPU_GPU_CV": pytest.approx(2.032)}
    assert sample.watts == pytest.approx(6.096), "the whole board's rail holds the others"
    assert sample.clocks == {"cpu": 1510.4, "gpu": 624.75}
    assert sample.throttling == ("17000000.gpu at 3 of 10",), "a turning fan holds nothing back"


def test_a_jetson_s_names(tmp_path: Path) -> None:
    orin(tmp_path)
    assert jetson_model(tmp_path) == "NVIDIA Jetson Orin Nano Developer Kit"
    assert l4t_release(tmp_path) == "36.4.3"
    assert jetpack_of("36.4.3") == "6.1 or 6.2"
    assert jetpack_of("99.1.0") is None
    assert power_mode(tmp_path) == "MAXN_SUPER"
    (tmp_path / "etc/nvpmodel.conf").unlink()
    assert power_mode(tmp_path) == "mode 2"


def test_nothing_is_there(tmp_path: Path) -> None:
    assert read_sysfs(tmp_path) == Sample()
    assert read_sysfs(tmp_path).watts is None
    assert [read(tmp_path) for read in (jetson_model, l4t_release, power_mode)] == [None, None, None]


def test_nonsense_is_left_out(tmp_path: Path) -> None:
    zone, chip = "sys/class/thermal/thermal_zone0", "sys/class/hwmon/hwmon0"
    record(tmp_path, {f"{zone}/type": "x", f"{zone}/temp": "hot", f"{chip}/name": "a"})
    (tmp_path / f"{chip}/power1_input").mkdir()
    assert read_sysfs(tmp_path) == Sample()


def test_zones_of_one_type_and_a_card_that_states_watts(tmp_path: Path) -> None:
    thermal, chip = "sys/class/thermal/thermal_zone", "sys/class/hwmon/hwmon0"
    files = {f"{thermal}{at}/{what}": value for at in (0, 1) for what, value in [("type", "acpitz"), ("temp", "27800")]}
    record(tmp_path, files | {f"{chip}/name": "amdgpu", f"{chip}/power1_average": "21500000"})
    sample = read_sysfs(tmp_path)
    assert sample.temperatures == {"acpitz": 27.8, "acpitz 1": 27.8}
    assert sample.power == {"amdgpu": 21.5}


def test_rails_are_summed_where_none_is_the_whole() -> None:
    assert Sample(power={"VDD_GPU_SOC": 4.0, "VDD_CPU_CV": 2.5}).watts == 6.5


def test_a_raspberry_pi_s_firmware(tmp_path: Path) -> None:
    record(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "50005"})
    assert read_sysfs(tmp_path).throttling == ("firmware: under-voltage", "firmware: throttled")


def test_tegrastats_of_an_orin() -> None:
    sample = parse_tegrastats(ORIN)
    assert sample.clocks == {"memory": 2133, "gpu": 624, "cpu": 1510}
    assert sample.temperatures["tj"] == 48.6
    assert "cv0" not in sample.temperatures, "off"
    assert sample.watts == 6.012
    assert sample.memory == {"shared": 3041}, "GPU and CPU have one"


def test_tegrastats_of_a_nano_and_of_something_else() -> None:
    sample = parse_tegrastats(NANO)
    assert (sample.clocks["gpu"], sample.clocks["cpu"], sample.watts) == (76, 1479, 2.156)
    assert sample.temperatures["CPU"] == 33.5
    assert parse_tegrastats("tegrastats: not found") == Sample()


def test_sampler_merges_readers_and_ends() -> None:
    readers = [lambda: Sample(clocks={"cpu": 1.0}, power={"a": 1.0}), lambda: Sample(clocks={"cpu": 2.0})]
    with Sampler(readers, period=0.001) as sampler:
        for _ in range(1000):
            if len(sampler.samples) > 2:
                break
            time.sleep(0.001)
    count = len(sampler.samples)
    assert count > 2
    assert sampler.samples[0].clocks == {"cpu": 2.0}
    assert sampler.samples[0].power == {"a": 1.0}
    assert sampler.samples[1].time > sampler.samples[0].time
    assert len(sampler.samples) == count, "none comes after the end"


def test_tegrastats_runs_beside_and_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tegrastats"
    program.write_text(f"#!/bin/sh\necho '{NANO}'\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with Tegrastats() as monitor:
        for _ in range(1000):
            if monitor.read().watts:
                break
            time.sleep(0.01)
        assert monitor.read().watts == 2.156
        process = monitor._process
    assert process is not None
    assert process.returncode is not None


def test_no_tegrastats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with Tegrastats() as monitor:
        assert monitor.read() == Sample()
