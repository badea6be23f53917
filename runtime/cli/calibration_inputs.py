"""Choice of inputs for calibration and comparison of the two networks."""

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
"""Synthetic clips for the calibration of a refiner: number of clips, frames per clip, moving objects per clip."""
CLIP_LIMIT = 120
"""Largest number of frames of a given clip."""


def calibration_inputs(
    model: Path, frames: str, mask: Path | None, embedding: Path | None, count: int, seed: int
) -> Inputs:
    """Choose calibration inputs for a network.

    An embedding takes frames. A refiner takes crops of objects that the runtime follows with that refiner. A prompter
    takes crops of objects that a simulated user marks. The objects
    come from a clip with a first mask, or from synthetic clips that are made of stills.

    Parameters
    ----------
    model
        An exported model of either network.
    frames
        Source of frames: folder, .tar shard, video or pattern.
    mask
        Objects in the first frame of `frames`; not for an embedding.
    embedding
        The embedding of a refiner or a prompter; None for the shipped one.
    count
        Number of frames or crops.
    seed
        Random seed of the choice.

    Raises
    ------
    BadInput
        If there are no frames, if the frames for a refiner are black, or if `mask` or `embedding` is given for an
        embedding.
    ContractMismatch
        If refiner and embedding were not trained together.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> calibration_inputs(ASSETS / EXACT, str(ASSETS / "bunny.mp4"), None, None, 2, 0).runs
    2
    """
    from shls.calib.crops import record_crops
    from shls.calib.samples import sample_frames

    from ..backends.base import open_prompter, open_refiner, open_session
    from ..backends.pretrained import ASSETS, EXACT
    from ..models.contract import Contract, PrompterContract
    from ..models.onnx_reader import read_any_contract

    contract = read_any_contract(model)
    if isinstance(contract, Contract):
        if mask or embedding:
            raise BadInput(
                f"{model}: an embedding takes whole frames; --mask and --embedding are for a refiner or a prompter. "
                "Leave both out"
            )
        return sample_frames(frames, count, seed)
    session = open_session(embedding or ASSETS / EXACT, device="cpu")
    clips = _stills_clips(frames, session.contract, seed) if mask is None else _given_clip(frames, mask)
    if isinstance(contract, PrompterContract):
        from shls.calib.prompts import record_prompts

        return record_prompts(clips, session, open_prompter(model, device="cpu"), count)
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

    from ..io.shards import is_shard

    if not Path(stills).is_dir() and not is_shard(Path(stills)):
        raise BadInput(
            f"{stills}: no folder of stills; a refiner is calibrated on stills, or on a clip with a mask. "
            "Give a folder, or --mask for the first frame of the clip"
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
