"""Clocks, temperatures, power and throttling, where the system tells them without root.

Every reader takes the root of the file system, so that it can be tried on a recorded tree; what is not
there, or may not be read, is left out and never an error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

ROOT = Path("/")
WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VIN", "VDD_TOTAL", "psys")
"""What carries the whole board's current, in the words of Jetson modules and, last, of laptops."""
JETPACK = {
    "32.7": "4.6",
    "35.4": "5.1.2",
    "35.5": "5.1.3",
    "35.6": "5.1.4",
    "36.3": "6.0",
    "36.4": "6.1 or 6.2",
    "38.2": "7.0",
    "38.4": "7.1",
}
COOLERS_THAT_BLOW = ("fan",)
TEGRASTATS_CLOCK = re.compile(r"\b(GR3D_FREQ|EMC_FREQ) \d+%@\[?(\d+)")
TEGRASTATS_CPU = re.compile(r"\d+%@(\d+)")
TEGRASTATS_TEMPERATURE = re.compile(r"\b(\w+)@(-?[\d.]+)C\b")
TEGRASTATS_MEMORY = re.compile(r"\bRAM (\d+)/\d+MB")
TEGRASTATS_POWER = re.compile(r"\b([A-Z][A-Z0-9_]+) (\d+)mW/\d+mW")


@dataclass(frozen=True)
class Sample:
    """What the device said at one moment.

    Attributes
    ----------
    time : seconds since sampling began
    clocks : name -> MHz
    temperatures : sensor -> degrees Celsius
    power : rail or device -> watts
    throttling : what holds the clocks back right now, in words; empty where nothing is known to
    memory : device -> MB in use there, by all programs
    """

    time: float = 0.0
    clocks: dict[str, float] = field(default_factory=dict)
    temperatures: dict[str, float] = field(default_factory=dict)
    power: dict[str, float] = field(default_factory=dict)
    throttling: tuple[str, ...] = ()
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def watts(self) -> float | None:
        """Power of the whole board, or the sum of what is measured; None where nothing is."""
        for rail in WHOLE_BOARD:
            if rail in self.power:
                return self.power[rail]
        return sum(self.power.values()) if self.power else None

    def merged(self, other: Sample) -> Sample:
        """Both together; the other's readings win."""
        return Sample(
            self.time,
            self.clocks | other.clocks,
            self.temperatures | other.temperatures,
            self.power | other.power,
            tuple(dict.fromkeys(self.throttling + other.throttling)),
            self.memory | other.memory,
        )


def read_sysfs(root: Path = ROOT) -> Sample:
    """Read all that /sys tells."""
    return Sample(0.0, read_clocks(root), read_temperatures(root), read_power(root), tuple(read_throttling(root)))


def read_temperatures(root: Path = ROOT) -> dict[str, float]:
    """Thermal zone -> degrees Celsius; zones that are switched off (below -40) are left out."""
    found: dict[str, float] = {}
    for zone in _sorted(root, "sys/class/thermal/thermal_zone*"):
        name, value = _text(zone / "type"), _number(zone / "temp")
        if name and value is not None and value > -40_000:
            key = name if name not in found else f"{name} {zone.name.removeprefix('thermal_zone')}"
            found[key] = value / 1000
    return found


def read_power(root: Path = ROOT) -> dict[str, float]:
    """Rail -> watts, from INA3221 chips (volts times amperes) and from devices that state watts."""
    found: dict[str, float] = {}
    for chip in _sorted(root, "sys/class/hwmon/hwmon*"):
        name = _text(chip / "name") or chip.name
        for at in range(1, 4):
            label, millivolts = _text(chip / f"in{at}_label"), _number(chip / f"in{at}_input")
            milliamperes = _number(chip / f"curr{at}_input")
            if label not in (None, "NC") and millivolts is not None and milliamperes is not None:
                found[str(label)] = millivolts * milliamperes / 1e6
        for file in ("power1_input", "power1_average"):
            if (microwatts := _number(chip / file)) is not None:
                found[name] = microwatts / 1e6
                break
    return found


def read_clocks(root: Path = ROOT) -> dict[str, float]:
    """CPU's fastest core and GPU -> MHz now."""
    cores = [_number(file) for file in _sorted(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    running = [core for core in cores if core is not None]
    found = {"cpu": max(running) / 1000} if running else {}
    for device in _sorted(root, "sys/class/devfreq/*"):
        hertz = _number(device / "cur_freq")
        if hertz is not None and re.search(r"gpu|gv11b|ga10b|gb10b", device.name):
            found["gpu"] = hertz / 1e6
            break
    return found


def read_throttling(root: Path = ROOT) -> list[str]:
    """What holds the clocks back now: cooling devices at work, a Raspberry Pi's firmware."""
    found = []
    for cooler in _sorted(root, "sys/class/thermal/cooling_device*"):
        name, state = _text(cooler / "type"), _number(cooler / "cur_state")
        if name and state and not any(word in name.lower() for word in COOLERS_THAT_BLOW):
            found.append(f"{name} at {state:.0f} of {_text(cooler / 'max_state') or '?'}")
    firmware = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    if firmware and re.fullmatch(r"(0x)?[0-9a-fA-F]+", firmware):
        bits = int(firmware, 16)
        words = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
        found += [f"firmware: {word}" for at, word in enumerate(words) if bits >> at & 1]
    return found


def jetson_model(root: Path = ROOT) -> str | None:
    """Name of the board from the device tree; None off such boards."""
    model = _text(root / "proc/device-tree/model")
    return model.rstrip("\0") if model else None


def l4t_release(root: Path = ROOT) -> str | None:
    """L4T's version such as "36.4.3", from /etc/nv_tegra_release; None off Jetsons."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _text(root / "etc/nv_tegra_release") or "")
    return f"{match.group(1)}.{match.group(2)}" if match else None


def jetpack_of(l4t: str) -> str | None:
    """JetPack's version for an L4T version, where it is known."""
    return JETPACK.get(".".join(l4t.split(".")[:2]))


def power_mode(root: Path = ROOT) -> str | None:
    """Jetson's power mode as nvpmodel keeps it, such as "MAXN"; None off Jetsons."""
    status = re.search(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status") or "")
    if not status:
        return None
    number = int(status.group(1))
    names = _text(root / "etc/nvpmodel.conf") or ""
    match = re.search(rf"<\s*POWER_MODEL\s+ID=0*{number}\s+NAME=(\w+)", names)
    return match.group(1) if match else f"mode {number}"


def parse_tegrastats(line: str) -> Sample:
    """Read one line of tegrastats' log, of any JetPack from 4 on; what it does not have is left out."""
    clocks = {
        {"GR3D_FREQ": "gpu", "EMC_FREQ": "memory"}[name]: float(value) for name, value in TEGRASTATS_CLOCK.findall(line)
    }
    cpu = re.search(r"CPU \[([^\]]*)\]", line)
    if cpu and (cores := TEGRASTATS_CPU.findall(cpu.group(1))):
        clocks["cpu"] = float(max(int(core) for core in cores))
    temperatures = {name: float(value) for name, value in TEGRASTATS_TEMPERATURE.findall(line) if float(value) > -40}
    power = {name: int(value) / 1000 for name, value in TEGRASTATS_POWER.findall(line)}
    ram = TEGRASTATS_MEMORY.search(line)
    return Sample(0.0, clocks, temperatures, power, memory={"shared": float(ram.group(1))} if ram else {})


class Tegrastats:
    """Jetson's own monitor, for boards whose /sys does not tell power; `read` gives its newest line's sample.

    A context manager: the program runs between entering and leaving.
    """

    def __init__(self) -> None:
        self._newest = Sample()
        self._process: subprocess.Popen[str] | None = None

    def read(self) -> Sample:
        return self._newest

    def __enter__(self) -> Tegrastats:
        if program := shutil.which("tegrastats"):
            command = [program, "--interval", "1000"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            Thread(target=self._follow, args=(self._process,), name="tegrastats", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self._newest = parse_tegrastats(line)


class Sampler:
    """Asks the readers once a second on a thread of its own, between entering and leaving, and once at the end.

    Parameters
    ----------
    readers : each gives a sample, whose time is ignored; later ones win
    period : seconds between two samples
    """

    def __init__(self, readers: list[Callable[[], Sample]], period: float = 1.0) -> None:
        self.samples: list[Sample] = []
        self._readers, self._period = readers, period
        self._stop = Event()
        self._thread = Thread(target=self._work, name="device sampler", daemon=True)

    def _work(self) -> None:
        begun, over = time.perf_counter(), False
        while True:
            sample = Sample(time.perf_counter() - begun)
            for reader in self._readers:
                sample = sample.merged(reader())
            self.samples.append(sample)
            if over:
                return
            over = self._stop.wait(self._period)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _sorted(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))])


def _text(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(file: Path) -> float | None:
    try:
        return float(_text(file) or "")
    except ValueError:
        return None
