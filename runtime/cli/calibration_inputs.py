"""What the commands calibrate and compare the two networks on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput
from .options import read_frames

if TYPE_CHECKING:
    from shls.calib.crops import Marked
    from shls.calib.samples import Inputs

    from ..models.contract import Contract

CLIPS, CLIP_FRAMES, OBJECTS = 12, 6, 2
"""Synthetic clips that a refiner is calibrated on: how many, their frames, and the blobs that move over each."""
CLIP_LIMIT = 120
"""Frames of a given clip, at most."""


def calibration_inputs(
    model: Path, frames: str, mask: Path | None, embedding: Path | None, count: int, seed: int
) -> Inputs:
    """Choose what suits a network.

    An embedding takes frames. A refiner takes crops of the objects that the runtime follows with it: in a clip whose
    first mask is given, or in synthetic clips of stills, as it was trained on.

    Raises
    ------
    BadInput
        If there are no frames, a refiner's are black, or mask or embedding are given for an embedding.
    ContractMismatch
        If refiner and embedding do not belong together.
    """
    from shls.calib.crops import record_crops
    from shls.calib.samples import sample_frames

    from ..backends.base import open_refiner, open_session
    from ..backends.pretrained import ASSETS, EXACT
    from ..models.contract import RefinerContract
    from ..models.onnx_reader import read_any_contract

    if not isinstance(read_any_contract(model), RefinerContract):
        if mask or embedding:
            raise BadInput(f"{model}: takes whole frames; --mask and --embedding are for a refiner: leave them out")
        return sample_frames(frames, count, seed)
    session = open_session(embedding or ASSETS / EXACT, device="cpu")
    clips = _stills_clips(frames, session.contract, seed) if mask is None else _given_clip(frames, mask)
    return record_crops(clips, session, open_refiner(model, device="cpu"), count)


def _given_clip(frames: str, mask: Path) -> Iterator[Marked]:
    from shls.calib.crops import Marked
    from shls.calib.samples import check_contrast

    from ..io.masks import read_mask

    images = read_frames(frames, CLIP_LIMIT)
    check_contrast(images)
    yield Marked(images, read_mask(mask, images[0].shape[:2]))


def _stills_clips(stills: str, contract: Contract, seed: int) -> Iterator[Marked]:
    import numpy as np

    from shls.calib.crops import Marked
    from shls.calib.samples import sample_frames
    from shls_train.data.clips import ClipSize, Cutout, make_clip
    from shls_train.data.views import blob

    if not Path(stills).is_dir() and Path(stills).suffix != ".tar":
        raise BadInput(
            f"{stills}: a refiner learns ranges from a folder of stills, or from a clip: give its --mask, too"
        )
    samples = sample_frames(stills, CLIPS * (OBJECTS + 1), seed)
    samples.check()
    images = samples.images
    rng = np.random.default_rng(seed)
    size = ClipSize(CLIP_FRAMES, contract.height, contract.width)
    for _ in range(CLIPS):
        background, *others = (images[at] for at in rng.choice(len(images), OBJECTS + 1))
        clip = make_clip(background, [Cutout(other, blob(other.shape[:2], rng)) for other in others], rng, size)
        if clip.labels[0].any():
            yield Marked(list(clip.frames), clip.labels[0])
