"""Tuned numbers that decide masks, one frozen dataclass per stage.

A model file carries them in its contract, so that the same file gives the same masks under every version of the
software. `shls info MODEL` prints them. To override some of them, pass a changed copy to `shls.open_segmenter`:

>>> from dataclasses import replace
>>> settings = Settings()
>>> wide = replace(settings, memory=replace(settings.memory, radius=0.3))
>>> wide.memory.radius
0.3
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf
from typing import Any, NamedTuple

from ..errors import BadInput

ALGORITHMS = ("slic", "isec")


def setting(default: Any, meaning: str, low: float = 0.0, high: float = inf) -> Any:
    """Declare a field with its default, its meaning (unit included) and the range of its values, ends included.

    Examples
    --------
    >>> setting(7, "recent frames", 1, 1000).metadata["meaning"]
    'recent frames'
    """
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high})


class _Checked:
    """Checks the range of every declared number after construction."""

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]  # only dataclasses inherit this
            value = getattr(self, one.name)
            low, high = one.metadata["low"], one.metadata["high"]
            if isinstance(one.default, str):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise BadInput(
                    f"{type(self).__name__}.{one.name}: out of range (got {value!r}, expected {low:g} to {high:g}). "
                    "Choose a value in that range"
                )


@dataclass(frozen=True)
class SuperpixelSettings(_Checked):
    """Partition of a frame.

    Raises
    ------
    BadInput
        If a value is out of its range.

    Examples
    --------
    >>> SuperpixelSettings(count=1000).compactness
    10.0
    """

    count: int = setting(1500, "requested number of superpixels per frame", 1, 60_000)
    compactness: float = setting(10.0, "weight of distance relative to colour, as in SLIC", 1e-6)
    iterations: int = setting(4, "assignment rounds of a cold start", 1, 100)
    min_area: float = setting(0.25, "area below which a part joins a neighbour, as a ratio of the mean area", 0, 1)
    split_area: float = setting(1.5, "area above which a superpixel is split, as a ratio of the mean area", 1)
    cut_ratio: float = setting(2.0, "colour residual of a cut, as a multiple of the previous residual", 1)
    cut_offset: float = setting(24.0, "colour residual added to that multiple, in levels of 7-bit planes", 0)
    algorithm: str = setting("slic", "superpixel algorithm: slic, or isec of the published method")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.algorithm not in ALGORITHMS:
            raise BadInput(
                f"SuperpixelSettings.algorithm: unknown (got {self.algorithm!r}, expected {' or '.join(ALGORITHMS)}). "
                "Choose one of these"
            )


@dataclass(frozen=True)
class FlowSettings(_Checked):
    """Optical flow between frames.

    Examples
    --------
    >>> FlowSettings().cut_correlation
    0.75
    """

    cut_correlation: float = setting(
        0.75, "correlation of a frame with its warped predecessor below which there is a cut", -1, 1
    )


@dataclass(frozen=True)
class ContextSettings(_Checked):
    """Exchange of superfeatures between neighbouring superpixels.

    Examples
    --------
    >>> ContextSettings().weight
    3.0
    """

    weight: float = setting(3.0, "weight of the neighbours' mean superfeature; 0 leaves superfeatures as they are", 0)
    temperature: float = setting(0.15, "difference of cosine similarities that divides a neighbour's weight by e", 1e-6)


@dataclass(frozen=True)
class MemorySettings(_Checked):
    """Storage and reading of the past.

    Examples
    --------
    >>> MemorySettings(recent=14).neighbours
    10
    """

    recent: int = setting(7, "past frames kept whole, besides the first", 1, 1000)
    traced: int = setting(12, "frames that a place is traced back along the optical flow", 1, 1000)
    clusters: int = setting(32, "long-term prototypes per object", 1, 4096)
    neighbours: int = setting(10, "memory entries that vote for a superpixel", 1, 16)
    radius: float = setting(0.25, "search radius in a recent frame, in frame heights", 0)
    temperature: float = setting(0.05, "temperature of the softmax over cosine similarities", 1e-6)
    first_radius: float = setting(3.0, "search radius in the first frame, as a multiple of radius", 0)
    prototype_penalty: float = setting(0.0, "cosine similarity subtracted from prototypes, which have no place", 0, 2)
    prototype_confidence: float = setting(0.8, "probability above which an entry moves a prototype", 0, 1)
    prototype_inertia: float = setting(512.0, "entries after which a prototype's weight stops growing", 1)
    certainty: float = setting(
        0.2,
        "excess of the highest probability over one half from which on a superpixel is stored with full weight",
        0,
        0.5,
    )
    refiner_weight: float = setting(0.25, "exponent of the refiner's background odds when the memory is updated", 0, 1)


@dataclass(frozen=True)
class VisibilitySettings(_Checked):
    """Decision whether an object is visible, and which regions belong to it.

    Examples
    --------
    >>> VisibilitySettings().overlap
    0.05
    """

    overlap: float = setting(
        0.05, "ratio of an object's previous mask that a region must overlap (published outlier filter)", 0, 1
    )
    margin: float = setting(1.0, "margin of an object's box within which regions are kept, as a ratio of its side", 0)
    return_similarity: float = setting(0.5, "similarity to the reference at which a lost object is found again", 0, 1)
    remnant_similarity: float = setting(0.3, "similarity below which a small remnant counts as occluded", 0, 1)
    remnant_area: float = setting(0.2, "area of a small remnant, as a ratio of the reference area", 0, 1)
    drop_similarity: float = setting(0.4, "ratio of similarity to its running mean below which an object is lost", 0, 1)
    mean_rate: float = setting(0.1, "update rate of that running mean, per frame", 0, 1)
    default_similarity: float = setting(0.4, "reference similarity of an object that was never seen", 0, 1)
    temperature: float = setting(0.06, "difference of two cosine similarities that gives odds of e", 1e-6)
    entries: int = setting(128, "reference superpixels kept per object", 1, 4096)


@dataclass(frozen=True)
class PixelFilterSettings(_Checked):
    """Bilateral filter from superpixels to pixels.

    Examples
    --------
    >>> PixelFilterSettings().color_sigma
    8.0
    """

    color_sigma: float = setting(8.0, "standard deviation of the colour weight, in levels of 8-bit Lab", 1e-6)
    space_sigma: float = setting(0.6, "standard deviation of the distance weight, in mean superpixel spacings", 1e-6)
    reach: float = setting(1.5, "side of a bucket of superpixels, in mean superpixel spacings", 0.1, 100)
    agreement: float = setting(0.05, "difference of probabilities below which neighbours are not filtered", 0, 1)


@dataclass(frozen=True)
class CropSettings(_Checked):
    """Boxes of the refiner's crops.

    Examples
    --------
    >>> CropSettings().margin
    0.3
    """

    margin: float = setting(0.3, "margin added to a box, as a ratio of its side (published)", 0)
    min_side: int = setting(24, "least side of a box, in cells of the half-resolution grid", 1)
    min_aspect: float = setting(0.5, "least ratio of a box's shorter to its longer side", 0, 1)
    trim: float = setting(0.002, "ratio of an object's mass cut off at each side of its box", 0, 0.5)
    visible: float = setting(0.3, "least probability of a cell inside an object's box", 0, 1)
    detail: float = setting(0.7, "crop pixels per cell of the grid from which on a smaller crop suffices", 0)
    min_area: float = setting(0.0025, "ratio of the frame that an object must cover to be refined", 0, 1)


@dataclass(frozen=True)
class Settings:
    """All stages' settings.

    Examples
    --------
    >>> Settings() == Settings.from_dict(Settings().to_dict())
    True
    """

    superpixels: SuperpixelSettings = SuperpixelSettings()
    flow: FlowSettings = FlowSettings()
    context: ContextSettings = ContextSettings()
    memory: MemorySettings = MemorySettings()
    visibility: VisibilitySettings = VisibilitySettings()
    pixel_filter: PixelFilterSettings = PixelFilterSettings()
    crops: CropSettings = CropSettings()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return plain values by stage and field."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Mapping[str, Any]]) -> Settings:
        """Read settings; a stage or field that is absent takes its default.

        Raises
        ------
        BadInput
            If a stage or a field is unknown, or a value is out of its range.
        """
        stages: dict[str, Any] = {stage.name: type(stage.default) for stage in fields(Settings)}
        read = {}
        for name, given in values.items():
            if name not in stages:
                raise BadInput(
                    f"settings: unknown stage (got {name!r}, expected one of {', '.join(stages)}). Remove it"
                )
            known = [one.name for one in fields(stages[name])]
            strange = sorted(set(given) - set(known))
            if strange:
                expected = ", ".join(known)
                raise BadInput(
                    f"settings.{name}: unknown field (got {strange[0]!r}, expected one of {expected}). Remove it"
                )
            read[name] = stages[name](**given)
        return Settings(**read)

    def describe(self) -> Iterator[Described]:
        """Yield every setting with its stage, value, default and meaning."""
        for stage in fields(self):
            values = getattr(self, stage.name)
            for one in fields(values):
                value = getattr(values, one.name)
                yield Described(f"{stage.name}.{one.name}", value, one.default, one.metadata["meaning"])


class Described(NamedTuple):
    """One setting for a person to read.

    name : stage and field, joined by a dot
    value : as it is used
    default : of this version of the software
    meaning : with unit

    Examples
    --------
    >>> next(Settings().describe()).name
    'superpixels.count'
    """

    name: str
    value: Any
    default: Any
    meaning: str
