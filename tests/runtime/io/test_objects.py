"""Names and original ids of objects: how new ones find their place among those of a run."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.objects import NamedMask, ObjectTable


def row(*ids: int) -> np.ndarray:
    return np.array([ids], np.uint8)


def test_plain_ids_stay() -> None:
    table = ObjectTable()
    assert table.add(NamedMask(row(0, 3, 254))).tolist() == [[0, 3, 254]]
    assert table.name(3) is None
    assert table.file_id(3) == table.find(3) == 3
    assert table.find("dog") is None
    assert table.describe(3) == {"id": 3}
    assert table.add(NamedMask(row(3)), frozenset({3})).tolist() == [[3]], "an id that is followed is marked anew"


def test_original_ids_are_mapped_back() -> None:
    table = ObjectTable()
    assert table.add(NamedMask(row(1, 2), {}, {1: 300, 2: 1000})).tolist() == [[1, 2]]
    assert [table.file_id(1), table.file_id(2)] == [300, 1000]
    assert [table.find(300), table.find(1000), table.find(999)] == [1, 2, None]
    assert table.find(1) is None, "nothing has the original id 1"
    assert table.find(7) == 7
    assert table.describe(2) == {"id": 1000, "mask_id": 2}


def test_renumbered_objects_of_later_frames_get_free_ids() -> None:
    table = ObjectTable()
    table.add(NamedMask(row(1, 2), {}, {1: 300, 2: 1000}))
    later = table.add(NamedMask(row(1, 2), {1: "new"}, {1: 500, 2: 300}), frozenset({1, 2, 4}))
    assert later.tolist() == [[3, 1]]
    assert table.describe(3) == {"id": 500, "mask_id": 3, "name": "new"}
    assert table.find(500) == 3


def test_named_objects_of_later_frames_are_known_by_name() -> None:
    table = ObjectTable()
    table.add(NamedMask(row(1, 2), {1: "dog", 2: "cat"}))
    later = table.add(NamedMask(row(1, 2), {1: "cat", 2: "bird"}), frozenset({1, 2}))
    assert later.tolist() == [[2, 3]]
    assert [table.name(at) for at in (1, 2, 3)] == ["dog", "cat", "bird"]


def test_equal_names_are_no_reason_to_merge() -> None:
    table = ObjectTable()
    table.add(NamedMask(row(1), {1: "dog"}))
    assert len(np.unique(table.add(NamedMask(row(1, 2), {1: "dog", 2: "dog"}), frozenset({1})))) == 2


def test_an_object_is_renamed() -> None:
    table = ObjectTable()
    table.rename(5, "dog")
    table.rename(5, "cat")
    assert table.find("dog") is None
    assert table.find("cat") == 5


def test_too_many_objects() -> None:
    table = ObjectTable()
    with pytest.raises(BadInput, match=r"objects: too many \(got more than 254\)"):
        table.add(NamedMask(row(1), {1: "dog"}), frozenset(range(1, 255)))
