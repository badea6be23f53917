"""Power of a PC's processor and memory, from the energy counters that Linux shows under powercap (RAPL)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .sensors import ROOT, Sample

ZONES = "sys/class/powercap/intel-rapl:*"
"""AMD's counters have the same name. `intel-rapl-mmio` counts the same energy a second time."""
PARTS = ("core", "uncore")
"""Zones whose energy their package's holds already."""
SOONEST = 0.1
"""Seconds between two readings below which the counters, which move each millisecond, say little."""


class Powercap:
    """Watts from counters of energy: the first reading gives none.

    Parameters
    ----------
    root : of the file system
    clock : seconds
    """

    def __init__(self, root: Path = ROOT, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._zones = clock, _zones(root)
        self._last: tuple[float, dict[str, int]] | None = None
        self._power: dict[str, float] = {}

    def read(self) -> Sample:
        """Mean power since the last reading, by zone."""
        now = self._clock()
        if self._last is not None and now - self._last[0] < SOONEST:
            return Sample(power=self._power)
        energies = {name: energy for name, zone in self._zones.items() if (energy := _whole(zone / "energy_uj")) >= 0}
        if self._last is not None:
            before, known = self._last
            self._power = {
                name: self._spent(name, known[name], energy) / (now - before) / 1e6
                for name, energy in energies.items()
                if name in known
            }
        self._last = now, energies
        return Sample(power=self._power)

    def _spent(self, name: str, before: int, after: int) -> int:
        """Microjoules between two readings of a counter that begins again at its end."""
        if after >= before:
            return after - before
        return after - before + max(0, _whole(self._zones[name] / "max_energy_range_uj"))


def hidden(root: Path = ROOT) -> bool:
    """Tell whether there are counters that only root may read."""
    zones = _zones(root).values()
    return bool(zones) and all(_whole(zone / "energy_uj") < 0 for zone in zones)


def _zones(root: Path) -> dict[str, Path]:
    """Name -> folder; of several sockets, each with memory of its own."""
    found: dict[str, Path] = {}
    for zone in sorted(root.glob(ZONES)):
        try:
            name = (zone / "name").read_text().strip()
        except OSError:
            continue
        if name not in PARTS:
            found[name if name not in found else f"{name} {zone.name.partition(':')[2]}"] = zone
    return found


def _whole(file: Path) -> int:
    """The number in a file, -1 where there is none or it may not be read."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return -1
