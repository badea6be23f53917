"""Readers of clocks, temperatures and power, on recorded trees of Jetsons and PCs."""

from __future__ import annotations

from pathlib import Path

import pytest

from shls.runtime.hardware.jetson import jetson_model, l4t_release, power_mode
from shls.runtime.hardware.sensors import Sample, read_sysfs


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
