"""Names and original ids of the objects in a mask: what a picture of ids from 1 to 254 cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..errors import BadInput
from ..types import MAX_OBJECTS


class NamedMask(NamedTuple):
    """Mask of several objects with their names.

    labels : (H, W) uint8, object id per pixel, 0 background
    names : object id -> name, for objects that have one
    file_ids : object id -> id in the file that was read, for objects that were renumbered

    Examples
    --------
    >>> NamedMask(np.ones((1, 2), np.uint8), {1: "dog"}, {1: 300}).names
    {1: 'dog'}
    """

    labels: np.ndarray
    names: Mapping[int, str] = {}
    file_ids: Mapping[int, int] = {}


class ObjectTable:
    """Names and original ids of all objects of a run.

    The prompts fill the table. The outputs read from it.

    Examples
    --------
    >>> table = ObjectTable()
    >>> table.add(NamedMask(np.array([[0, 1]], np.uint8), {1: "dog"}, {1: 300}))
    array([[0, 1]], dtype=uint8)
    >>> table.name(1), table.file_id(1), table.find("dog"), table.find(300)
    ('dog', 300, 1, 1)
    """

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._file_ids: dict[int, int] = {}

    def name(self, object_id: int) -> str | None:
        """Return the name of an object; None if the object has none."""
        return self._names.get(object_id)

    def file_id(self, object_id: int) -> int:
        """Return the id that the object has in the file that it was read from."""
        return self._file_ids.get(object_id, object_id)

    def find(self, key: int | str) -> int | None:
        """Return the id of the object with this name or original id; None if there is no such name."""
        known = self._names if isinstance(key, str) else self._file_ids
        for object_id, value in known.items():
            if value == key:
                return object_id
        return key if isinstance(key, int) and key not in self._file_ids and key <= MAX_OBJECTS else None

    def describe(self, object_id: int) -> dict[str, int | str]:
        """Return the ids and the name of an object as JSON values.

        `id` is the original id; `mask_id` is there if the id in the masks is another one, `name` if there is a name.
        """
        values: dict[str, int | str] = {"id": self.file_id(object_id)}
        if object_id in self._file_ids:
            values["mask_id"] = object_id
        if object_id in self._names:
            values["name"] = self._names[object_id]
        return values

    def rename(self, object_id: int, name: str) -> None:
        """Give an object a name; an earlier name is replaced."""
        self._names[object_id] = name

    def add(self, mask: NamedMask, taken: frozenset[int] = frozenset()) -> np.ndarray:
        """Enter the objects of a mask.

        An object with a name or an original id that the table has gets the id of that object. A renumbered object
        that is new gets the lowest free id.

        Parameters
        ----------
        mask : objects to enter
        taken : ids of objects that are followed already

        Returns
        -------
        (H, W) uint8 labels of the mask, with the ids of the table

        Raises
        ------
        BadInput
            If more than 254 objects would be followed.
        """
        found = [int(object_id) for object_id in np.unique(mask.labels) if object_id]
        moved = {object_id: self._place(mask, object_id, taken) for object_id in found}
        used = {*taken, *filter(None, moved.values())}
        ids = np.zeros(256, np.uint8)
        for object_id in found:
            target = moved[object_id] or min(set(range(1, MAX_OBJECTS + 2)) - used)
            if target > MAX_OBJECTS:
                raise BadInput(f"objects: too many (got more than {MAX_OBJECTS}). Remove some first")
            used.add(target)
            ids[object_id] = target
            self._enter(mask, object_id, target)
        labels: np.ndarray = ids[mask.labels]
        return labels

    def _place(self, mask: NamedMask, object_id: int, taken: frozenset[int]) -> int | None:
        """Find the id that an object of a mask must have; None if any free id will do."""
        if object_id in mask.file_ids:
            return next((known for known, value in self._file_ids.items() if value == mask.file_ids[object_id]), None)
        name = mask.names.get(object_id)
        if name is None:
            return object_id
        known = self.find(name) if list(mask.names.values()).count(name) == 1 else None
        return known or (None if object_id in taken else object_id)

    def _enter(self, mask: NamedMask, object_id: int, target: int) -> None:
        self._names.pop(target, None)
        self._file_ids.pop(target, None)
        if object_id in mask.names:
            self._names[target] = mask.names[object_id]
        if object_id in mask.file_ids:
            self._file_ids[target] = mask.file_ids[object_id]
