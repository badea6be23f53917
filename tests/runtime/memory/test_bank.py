"""The memory: its votes against a slow twin, its bounds, what it forgets and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.memory.bank import MemoryBank
from shls.runtime.models.settings import MemorySettings

SIZE = (96, 128)
DIM = 32


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    x = rng.normal(size=(count, DIM)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def places(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.rint(rng.random((count, 2)) * [SIZE[1] - 1, SIZE[0] - 1]).astype(np.float32)


def shares(rng: np.random.Generator, count: int, objects: int) -> np.ndarray:
    return rng.dirichlet(np.full(objects + 1, 0.2), count).astype(np.float32)


def eight_bits(x: np.ndarray) -> np.ndarray:
    return np.rint(x * 127) / 127


def slow_kept(last: int, settings: MemorySettings) -> list[int]:
    """Numbers of the past frames that are kept after frame `last`, by the rule in words."""
    kept: list[int] = []
    for now in range(1, last + 1):
        if len(kept) == settings.recent:
            ages = [now - frame for frame in kept]  # the oldest first
            gaps = {}
            for i in range(len(kept) - 1):  # not the newest
                older = ages[i - 1] if i else 1.6 * ages[0]
                gaps[i] = (older - ages[i + 1]) / ages[i]
            replaced = min(reversed(gaps), key=lambda i: gaps[i]) if gaps else 0
            kept.pop(replaced)
        kept.append(now)
    return kept


def slow_read(
    frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    features: np.ndarray,
    centres: np.ndarray,
    settings: MemorySettings,
    memory: MemoryBank,
) -> np.ndarray:
    """First and past frames, all pairs, in plain numpy; the centroids are taken as the memory has them."""
    reach = settings.radius * SIZE[0]
    past = [frames[i] for i in slow_kept(len(frames) - 1, settings)]
    kept = [(frames[0], settings.first_radius * reach)] + [(f, reach) for f in past]
    votes = []
    for n in range(len(features)):
        cosines, classes = [], []
        for (stored, where, probabilities), limit in kept:
            near = np.linalg.norm(where - centres[n], axis=1) <= limit
            cosines += list((eight_bits(stored) @ eight_bits(features[n]))[near])
            classes += list(probabilities[near])
        order = np.argsort(cosines)[::-1][: settings.neighbours]
        cosines, classes = [cosines[i] for i in order], [classes[i] for i in order]
        for c, centroids in enumerate(memory._prototypes.features):
            known = centroids[memory._prototypes.weights[c] > 0]
            if len(known):
                cosines.append((eight_bits(known) @ eight_bits(features[n])).max() - settings.prototype_penalty)
                classes.append(np.eye(frames[0][2].shape[1])[c])
        weights = np.exp((np.array(cosines) - max(cosines)) / settings.temperature)
        votes.append(weights @ np.array(classes) / weights.sum())
    return np.array(votes)


@pytest.mark.parametrize(("written", "objects"), [(1, 1), (3, 2), (9, 5), (40, 1)])
def test_votes_equal_the_slow_twin(written: int, objects: int) -> None:
    rng = np.random.default_rng(written)
    settings = MemorySettings(recent=4, clusters=3, neighbours=5)
    memory = MemoryBank(settings, SIZE, DIM, objects)
    frames = [(unit(rng, n), places(rng, n), shares(rng, n, objects)) for n in rng.integers(20, 60, written)]
    for frame in frames:
        memory.write(*frame)
    features, centres = unit(rng, 30), places(rng, 30)
    probabilities = memory.read(features, centres[None]).probabilities
    expected = slow_read(frames, features, centres, settings, memory)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


def test_windows_follow_the_expected_place() -> None:
    """Two things look alike; only the place tells them apart, and the place has moved."""
    settings = MemorySettings(recent=2, clusters=1, neighbours=1, radius=0.1)
    memory = MemoryBank(settings, SIZE, DIM, 1)
    feature = unit(np.random.default_rng(0), 1)
    nothing, far = np.array([[1.0, 0.0]], np.float32), np.array([[120.0, 90.0]], np.float32)
    memory.write(-feature, far, nothing)
    both = np.concatenate([feature, feature])
    where = np.array([[20, 20], [80, 20]], np.float32)
    memory.write(both, where, np.array([[0, 1], [1, 0]], np.float32))
    now = np.array([[80, 22]], np.float32)
    still = memory.read(feature, np.stack([now, now])).probabilities
    moved = memory.read(feature, np.stack([now, now - [60, 0]]).astype(np.float32)).probabilities
    assert still[0, 0] > 0.9
    assert moved[0, 1] > 0.9


def test_past_frames_are_dense_now_and_sparse_before() -> None:
    settings = MemorySettings(recent=5)
    feature, centre, nothing = np.eye(1, DIM, dtype=np.float32), np.zeros((1, 2), np.float32), np.float32([[1, 0]])
    memory, longest = MemoryBank(settings, SIZE, DIM, 1), 0
    for written in range(1, 120):
        memory.write(feature, centre, nothing)
        ages = np.sort(memory._ages()[1:][memory._counts[1:] > 0])
        assert (written - ages[::-1]).tolist() == slow_kept(written - 1, settings)
        assert len(ages) == min(written - 1, 5)
        if len(ages) == 5:
            assert ages[0] == 1
        longest = max(longest, ages.max(initial=0))
    assert longest == 11, "twice as far back as five frames in a row"


def test_size_does_not_depend_on_the_length() -> None:
    rng = np.random.default_rng(0)
    memory = MemoryBank(MemorySettings(recent=3), SIZE, DIM, 2)
    sizes = []
    for _ in range(40):
        memory.write(unit(rng, 50), places(rng, 50), shares(rng, 50, 2))
        sizes.append(memory.nbytes)
    assert len(set(sizes)) == 1


def test_the_first_frame_is_never_forgotten() -> None:
    rng = np.random.default_rng(1)
    memory = MemoryBank(MemorySettings(recent=2, clusters=2, neighbours=1), SIZE, DIM, 1)
    marked = unit(rng, 1)
    centre = np.array([[64, 48]], np.float32)
    memory.write(marked, centre, np.array([[0, 1]], np.float32))
    for _ in range(20):  # the object is away
        memory.write(-marked, centre, np.array([[1, 0]], np.float32))
    assert memory.read(marked, centre[None]).probabilities[0, 1] > 0.99


def test_what_leaves_the_ring_lives_on_in_the_prototypes() -> None:
    """A look that the first frame did not have is known after it left the ring, anywhere in the frame."""
    rng = np.random.default_rng(2)
    memory = MemoryBank(MemorySettings(recent=1, clusters=2, neighbours=1, radius=0.05), SIZE, DIM, 1)
    old, new, back = unit(rng, 3)[:, None]
    left, right = np.array([[5, 5]], np.float32), np.array([[120, 90]], np.float32)
    memory.write(old, left, np.array([[0, 1]], np.float32))
    for _ in range(30):
        memory.write(new, left, np.array([[0, 1]], np.float32))
    for _ in range(2):
        memory.write(back, left, np.array([[1, 0]], np.float32))
    assert memory.read(new, right[None]).probabilities[0, 1] > 0.9


def test_centroids_have_unit_length_and_clusters_are_found() -> None:
    rng = np.random.default_rng(3)
    axes = np.eye(DIM, dtype=np.float32)[:2]
    features = axes[np.arange(40) % 2] + rng.normal(0, 0.02, (40, DIM)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    memory = MemoryBank(MemorySettings(recent=1, clusters=2), SIZE, DIM, 1)
    memory.write(features, places(rng, 40), np.tile(np.array([[0, 1]], np.float32), (40, 1)))
    centroids = memory._prototypes.features[1]
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert sorted(np.argmax(centroids, axis=1).tolist()) == [0, 1]
    assert (centroids.max(axis=1) > 0.99).all()


def test_shapes_that_do_not_belong_together() -> None:
    memory = MemoryBank(MemorySettings(), SIZE, DIM, 2)
    rng = np.random.default_rng(0)
    with pytest.raises(ShapeMismatch, match="expected"):
        memory.write(unit(rng, 4), places(rng, 4), shares(rng, 4, 1))


@pytest.mark.parametrize("neighbours", [0, 17])
def test_neighbours_out_of_range(neighbours: int) -> None:
    with pytest.raises(BadInput, match="expected 1 to 16"):
        MemoryBank(MemorySettings(neighbours=neighbours), SIZE, DIM, 1)


def test_a_correction_replaces_the_recent_frames_and_keeps_the_first() -> None:
    rng = np.random.default_rng(5)
    settings = MemorySettings(recent=3, clusters=2)
    memory, features, centres = MemoryBank(settings, SIZE, DIM, 1), unit(rng, 40), places(rng, 40)
    truth = shares(rng, 40, 1).round()
    memory.write(features, centres, truth)
    for _ in range(5):
        memory.write(unit(rng, 40), centres, 1 - truth)
    other, right = unit(rng, 40), shares(rng, 40, 1).round()
    memory.correct(other, centres, right)
    expected = np.broadcast_to(centres, (4, 40, 2))
    assert memory.read(other, expected).probabilities.argmax(1).tolist() == right.argmax(1).tolist()
    assert memory.read(features, expected).probabilities.argmax(1).tolist() == truth.argmax(1).tolist()
    for _ in range(5):
        memory.write(unit(rng, 40), centres, 1 - right)
    assert memory.read(other, expected).probabilities.argmax(1).tolist() == right.argmax(1).tolist(), "it stays, too"
    memory.correct(unit(rng, 40), centres, truth)
    assert memory.read(features, expected).probabilities.argmax(1).tolist() == truth.argmax(1).tolist()


def test_a_correction_where_one_recent_frame_is_kept() -> None:
    rng = np.random.default_rng(7)
    memory, features, centres = MemoryBank(MemorySettings(recent=1), SIZE, DIM, 1), unit(rng, 40), places(rng, 40)
    truth = shares(rng, 40, 1).round()
    for _ in range(2):
        memory.write(unit(rng, 40), centres, truth)
    memory.correct(features, centres, truth)
    expected = np.broadcast_to(centres, (2, 40, 2))
    assert memory.read(features, expected).probabilities.argmax(1).tolist() == truth.argmax(1).tolist()
    memory.write(features, centres, 1 - truth)
    assert memory.read(features, expected).probabilities.argmax(1).tolist() == (1 - truth).argmax(1).tolist()


def test_a_correction_of_the_first_frame_is_the_first() -> None:
    rng = np.random.default_rng(6)
    features, centres, truth = unit(rng, 40), places(rng, 40), shares(rng, 40, 1).round()
    once, twice = (MemoryBank(MemorySettings(), SIZE, DIM, 1) for _ in range(2))
    twice.write(features, centres, 1 - truth)
    twice.correct(features, centres, truth)
    once.write(features, centres, truth)
    expected = np.broadcast_to(centres, (1, 40, 2))
    for one, other in zip(once.read(features, expected), twice.read(features, expected), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("count", [1, 40])
def test_layout_and_ownership_of_the_arrays_do_not_matter(count: int) -> None:
    rng = np.random.default_rng(5)
    frame = unit(rng, count), places(rng, count), shares(rng, count, 1)
    plain, other = (MemoryBank(MemorySettings(recent=1, clusters=2), SIZE, DIM, 1) for _ in range(2))
    frozen = [np.asfortranarray(array) for array in frame]
    for array in frozen:
        array.flags.writeable = False
    for _ in range(3):
        plain.write(*frame)
        other.write(*frozen)
    expected = plain.read(frame[0], frame[1][None])
    found = other.read(frozen[0], frozen[1][None])
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
