"""Scores of a sequence: frames that count, objects that come late or go, and errors about presence."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.evaluation.metrics import Score, object_ids
from shls.runtime.evaluation.scoring import PRESENT, Presence, Rate, SequenceScorer, sequence_scores


def square(top: int, left: int, size: int = 20, frame: tuple[int, int] = (100, 100)) -> np.ndarray:
    mask = np.zeros(frame, np.uint8)
    mask[top : top + size, left : left + size] = 1
    return mask


EMPTY = np.zeros((100, 100), np.uint8)


def scored(predictions: list[np.ndarray], truths: list[np.ndarray]) -> SequenceScorer:
    scorer = SequenceScorer()
    for prediction, truth in zip(predictions, truths, strict=True):
        scorer.add(prediction, truth)
    return scorer


def test_a_late_object_is_scored_after_its_first_annotation() -> None:
    one, two = square(20, 20), 2 * square(60, 60)
    truths = [one, one, one + two, one + two, one + two, one + two]
    predictions = [one, one, one, one + two, one, one]
    scorer = scored(predictions, truths)
    assert scorer.scores() == {1: Score(1, 1), 2: Score(0.5, 0.5)}
    assert scorer.presence == {1: Presence(0, 5, 0, 0), 2: Presence(2, 3, 0, 0)}


@pytest.mark.parametrize("last", [1, 2])
def test_an_object_of_the_last_frames_has_no_score(last: int) -> None:
    one, two = square(20, 20), 2 * square(60, 60)
    truths = [one] * (5 - last) + [one + two] * last
    assert list(scored([one] * 5, truths).scores()) == [1]


def test_presence_counts_losses_and_alarms_of_each_object() -> None:
    one, two = square(20, 20), 2 * square(60, 60)
    truths = [one + two, one, two, EMPTY, one + two]
    predictions = [one + two, one + two, EMPTY, one, two]
    assert scored(predictions, truths).presence == {1: Presence(1, 2, 1, 2), 2: Presence(1, 2, 1, 2)}


@pytest.mark.parametrize(
    ("area", "expected"), [(PRESENT, Presence(1, 1)), (PRESENT - 1, Presence()), (0, Presence(0, 0, 0, 1))]
)
def test_a_few_pixels_are_neither_present_nor_absent(area: int, expected: Presence) -> None:
    truth = EMPTY.copy()
    truth[0, :area] = 1
    assert scored([square(20, 20), EMPTY], [square(20, 20), truth]).presence == {1: expected}


def test_rates() -> None:
    presence = Presence(1, 4, 0, 0) + Presence(1, 4, 3, 6)
    assert presence.false_loss == Rate(2, 8)
    assert presence.false_alarm.share == 0.5
    assert Presence().false_alarm.share == 0


def test_sequence_leaves_out_first_and_last() -> None:
    truth = square(20, 20) + 2 * square(60, 60)
    wrong = np.zeros_like(truth)
    half = square(20, 20)  # object 1 right, object 2 lost
    scores = sequence_scores([wrong, truth, half, wrong], [truth] * 4)
    assert scores == {1: Score(1, 1), 2: Score(0.5, 0.5)}


def test_sequence_scores_only_objects_of_the_first_frame() -> None:
    first = square(20, 20)
    later = first + 2 * square(60, 60)
    assert sequence_scores([first] * 3, [first, later, later]) == {1: Score(1, 1)}


def test_sequence_counts_an_object_that_is_gone_and_not_predicted_as_right() -> None:
    first = square(20, 20)
    assert sequence_scores([first, EMPTY, EMPTY], [first, EMPTY, EMPTY]) == {1: Score(1, 1)}


def test_void_is_background() -> None:
    truth = square(20, 20) + 255 * square(60, 60)
    assert object_ids(truth) == [1]
    assert sequence_scores([truth] * 3, [truth] * 3) == {1: Score(1, 1)}


def test_sequence_that_cannot_be_scored() -> None:
    mask = square(20, 20)
    with pytest.raises(ValueError, match="longer"):
        sequence_scores([mask] * 3, [mask] * 4)
    with pytest.raises(BadInput, match="expected at least 3"):
        sequence_scores([mask] * 2, [mask] * 2)
    with pytest.raises(BadInput, match="has no object"):
        sequence_scores([EMPTY] * 3, [EMPTY] * 3)
