"""Clocks, temperatures, power and throttling from /sys, as far as they are readable without root.

Every reader takes the root of the file system, so that tests can pass a recorded tree. A value that is missing or not
readable is left out and is never an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ._sysfs import ROOT as ROOT
from ._sysfs import number, paths, text

WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VIN", "VDD_TOTAL", "psys")
"""Rails that carry the whole board's current: names of Jetson modules and, last, of laptops."""
FANS = ("fan",)
"""Parts of the names of cooling devices that do not reduce clocks."""
OFF = -40.0
"""Degrees Celsius below which a thermal zone is switched off."""


@dataclass(frozen=True)
class Sample:
    """Readings of the device at one moment.

    Attributes
    ----------
    time : seconds since sampling began
    clocks : name -> MHz
    temperatures : sensor -> degrees Celsius
    power : rail or device -> watts
    throttling : causes that reduce the clocks now, in words; empty where none is known
    memory : device -> MB in use on it, by all programs

    Examples
    --------
    >>> sample = Sample(clocks={"gpu": 624.0}, power={"VDD_IN": 6.0, "VDD_SOC": 1.5})
    >>> sample.watts
    6.0
    """

    time: float = 0.0
    clocks: dict[str, float] = field(default_factory=dict)
    temperatures: dict[str, float] = field(default_factory=dict)
    power: dict[str, float] = field(default_factory=dict)
    throttling: tuple[str, ...] = ()
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def watts(self) -> float | None:
        """Power of the whole board, else the sum over rails; None without any reading.

        Examples
        --------
        >>> Sample(power={"package-0": 15.0, "dram": 2.0}).watts
        17.0
        """
        for rail in WHOLE_BOARD:
            if rail in self.power:
                return self.power[rail]
        return sum(self.power.values()) if self.power else None

    def merged(self, other: Sample) -> Sample:
        """Return a sample with the readings of both; `other` wins where both have one.

        Examples
        --------
        >>> Sample(clocks={"cpu": 1.0}).merged(Sample(clocks={"cpu": 2.0}, power={"a": 3.0})).clocks
        {'cpu': 2.0}
        """
        return Sample(
            self.time,
            self.clocks | other.clocks,
            self.temperatures | other.temperatures,
            self.power | other.power,
            tuple(dict.fromkeys(self.throttling + other.throttling)),
            self.memory | other.memory,
        )


def read_sysfs(root: Path = ROOT) -> Sample:
    """Read clocks, temperatures, power and throttling from /sys.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> read_sysfs(Path("/no/such/tree"))
    Sample(time=0.0, clocks={}, temperatures={}, power={}, throttling=(), memory={})
    """
    return Sample(0.0, read_clocks(root), read_temperatures(root), read_power(root), tuple(read_throttling(root)))


def read_temperatures(root: Path = ROOT) -> dict[str, float]:
    """Return thermal zone -> degrees Celsius; zones that are switched off are left out.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     zone = Path(root, "sys/class/thermal/thermal_zone0")
    ...     zone.mkdir(parents=True)
    ...     _ = (zone / "type").write_text("tj-thermal"), (zone / "temp").write_text("48187")
    ...     read_temperatures(Path(root))
    {'tj-thermal': 48.187}
    """
    found: dict[str, float] = {}
    for zone in paths(root, "sys/class/thermal/thermal_zone*"):
        name, value = text(zone / "type"), number(zone / "temp")
        if name and value is not None and value > 1000 * OFF:
            key = name if name not in found else f"{name} {zone.name.removeprefix('thermal_zone')}"
            found[key] = value / 1000
    return found


def read_power(root: Path = ROOT) -> dict[str, float]:
    """Return rail -> watts, from INA3221 chips (volts times amperes) and from devices that report watts.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     chip = Path(root, "sys/class/hwmon/hwmon0")
    ...     chip.mkdir(parents=True)
    ...     _ = (chip / "name").write_text("amdgpu"), (chip / "power1_average").write_text("21500000")
    ...     read_power(Path(root))
    {'amdgpu': 21.5}
    """
    found: dict[str, float] = {}
    for chip in paths(root, "sys/class/hwmon/hwmon*"):
        name = text(chip / "name") or chip.name
        for at in range(1, 4):
            label, millivolts = text(chip / f"in{at}_label"), number(chip / f"in{at}_input")
            milliamperes = number(chip / f"curr{at}_input")
            if label not in (None, "NC") and millivolts is not None and milliamperes is not None:
                found[str(label)] = millivolts * milliamperes / 1e6
        for file in ("power1_input", "power1_average"):
            if (microwatts := number(chip / file)) is not None:
                found[name] = microwatts / 1e6
                break
    return found


def read_clocks(root: Path = ROOT) -> dict[str, float]:
    """Return the present clocks in MHz: of the fastest CPU core as "cpu", of the GPU as "gpu".

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> set(read_clocks()) <= {"cpu", "gpu"}
    True
    """
    cores = [number(file) for file in paths(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    running = [core for core in cores if core is not None]
    found = {"cpu": max(running) / 1000} if running else {}
    for device in paths(root, "sys/class/devfreq/*"):
        hertz = number(device / "cur_freq")
        if hertz is not None and re.search(r"gpu|gv11b|ga10b|gb10b", device.name):
            found["gpu"] = hertz / 1e6
            break
    return found


def read_throttling(root: Path = ROOT) -> list[str]:
    """Return the causes that reduce the clocks now: active cooling devices, flags of a Raspberry Pi's firmware.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> read_throttling(Path("/no/such/tree"))
    []
    """
    found = []
    for cooler in paths(root, "sys/class/thermal/cooling_device*"):
        name, state = text(cooler / "type"), number(cooler / "cur_state")
        if name and state and not any(word in name.lower() for word in FANS):
            found.append(f"{name} at {state:.0f} of {text(cooler / 'max_state') or '?'}")
    firmware = text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    if firmware and re.fullmatch(r"(0x)?[0-9a-fA-F]+", firmware):
        bits = int(firmware, 16)
        words = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
        found += [f"firmware: {word}" for at, word in enumerate(words) if bits >> at & 1]
    return found
