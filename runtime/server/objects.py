"""Objects of a session: their names, colours and visibility on the page."""

from __future__ import annotations

import colorsys
import re
import unicodedata
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from ..errors import BadInput
from ..io.objects import NamedMask, ObjectTable
from ..types import MAX_OBJECTS

LONGEST_NAME = 60
"""Largest number of letters of an object's name."""
COLORS = (
    "#18b6ff",
    "#ff3d9e",
    "#34d97b",
    "#a078ff",
    "#ffe14a",
    "#ff5a4f",
    "#2fe0d0",
    "#ff9ff3",
    "#b6f23c",
    "#6d8bff",
)
"""Colours of the first objects: far from brown, from white and from each other."""
GOLDEN_RATIO = 0.618034


@dataclass(frozen=True)
class SessionObject:
    """Object that a person marked.

    Attributes
    ----------
    object_id : int
        Value of the object's pixels in the masks, 1 to 254.
    name : str
        Name; empty if the object has none.
    color : str
        Colour on the page, `#rrggbb`.
    hidden : bool
        Whether the page leaves the object out of the picture.
    serial : int
        Number that no other object of the session gets, though an id may be used again.

    Examples
    --------
    >>> SessionObject(1, "dog", "#18b6ff").as_json()
    {'id': 1, 'name': 'dog', 'color': '#18b6ff', 'hidden': False}
    """

    object_id: int
    name: str
    color: str
    hidden: bool = False
    serial: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the object as JSON values."""
        return {"id": self.object_id, "name": self.name, "color": self.color, "hidden": self.hidden}


class ObjectRegistry:
    """Objects of a session by id.

    Parameters
    ----------
    table : ObjectTable, optional
        Gets the names, for the JSON lines of the run.

    Examples
    --------
    >>> registry = ObjectRegistry()
    >>> registry.add("dog").object_id, registry.change(1, name="cat").name
    (1, 'cat')
    """

    def __init__(self, table: ObjectTable | None = None) -> None:
        self._objects: dict[int, SessionObject] = {}
        self._table = ObjectTable() if table is None else table
        self._serials = count(1)
        self._used = 0  # largest id so far: an id is used again only when all are used

    def __contains__(self, object_id: int) -> bool:
        return object_id in self._objects

    def all(self) -> tuple[SessionObject, ...]:
        """Return the objects by id."""
        return tuple(self._objects[at] for at in sorted(self._objects))

    def get(self, object_id: int) -> SessionObject:
        """Return an object; raise BadInput if there is no such object."""
        if object_id not in self._objects:
            known = ", ".join(map(str, sorted(self._objects))) or "none"
            raise BadInput(f"object {object_id}: there is no such object (expected one of these ids: {known})")
        return self._objects[object_id]

    def find(self, key: int | str) -> int | None:
        """Return the id of the object with this name, or with this id in its file; None if there is none."""
        found = self._table.find(key)
        return found if found in self._objects else None

    def add(self, name: str = "", object_id: int | None = None) -> SessionObject:
        """Enter an object with the lowest id that was never used, or with the given id.

        Raises
        ------
        BadInput
            If there are 254 objects, or if the name is not valid or belongs to another object.
        """
        if object_id is None:
            object_id = self._free_id()
        color = color_of(object_id)
        added = SessionObject(object_id, self._checked_name(name, object_id), color, serial=next(self._serials))
        self._enter(added)
        return added

    def add_all(self, mask: NamedMask) -> np.ndarray:
        """Enter the objects of a mask; an object with a known name or original id is that object.

        Returns
        -------
        (H, W) uint8 labels of the mask, with the ids of the session
        """
        labels = self._table.add(mask, frozenset(self._objects))
        for object_id in (int(one) for one in np.unique(labels) if one):
            if object_id not in self._objects:
                self.add(self._table.name(object_id) or "", object_id)
        return labels

    def change(
        self, object_id: int, name: str | None = None, color: str | None = None, hidden: bool | None = None
    ) -> SessionObject:
        """Rename, recolour, hide or show an object; None leaves a property as it is.

        Raises
        ------
        BadInput
            If there is no such object, or if a value is not valid.
        """
        changed = self.get(object_id)
        if name is not None:
            changed = replace(changed, name=self._checked_name(name, object_id))
        if color is not None:
            changed = replace(changed, color=checked_color(color))
        if hidden is not None:
            changed = replace(changed, hidden=hidden)
        self._enter(changed)
        return changed

    def remove(self, object_id: int) -> None:
        """Remove an object; raise BadInput if there is no such object."""
        self.get(object_id)
        del self._objects[object_id]

    def _enter(self, entry: SessionObject) -> None:
        self._objects[entry.object_id] = entry
        self._used = max(self._used, entry.object_id)
        if entry.name or self._table.name(entry.object_id):
            self._table.rename(entry.object_id, entry.name)

    def _free_id(self) -> int:
        if self._used < MAX_OBJECTS:
            return self._used + 1
        free = set(range(1, MAX_OBJECTS + 1)) - set(self._objects)
        if not free:
            raise BadInput(f"objects: too many (got more than {MAX_OBJECTS}). Remove some first")
        return min(free)

    def _checked_name(self, name: str, object_id: int) -> str:
        name = checked_name(name)
        for other in self._objects.values():
            if name and other.name == name and other.object_id != object_id:
                raise BadInput(f"name '{name}': object {other.object_id} has this name. Choose another name")
        return name


def checked_name(name: str) -> str:
    """Return a name without blanks around it; raise BadInput if the name is too long or has control characters.

    Examples
    --------
    >>> checked_name(" big dog ")
    'big dog'
    """
    name = name.strip()
    if len(name) > LONGEST_NAME:
        raise BadInput(f"name: too long (got {len(name)} letters, expected at most {LONGEST_NAME}). Shorten the name")
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in name):
        raise BadInput("name: has control characters (expected letters, digits and signs). Type the name again")
    return name


def checked_color(color: str) -> str:
    """Return a colour in small letters; raise BadInput unless the text is `#rrggbb`.

    Examples
    --------
    >>> checked_color("#FF3D9E")
    '#ff3d9e'
    """
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise BadInput(f"color: cannot be read (got {color[:20]!r}, expected such as '#ff3d9e'). Correct the color")
    return color.lower()


def color_of(object_id: int) -> str:
    """Return the colour that an object has at first, `#rrggbb`.

    Examples
    --------
    >>> color_of(1), color_of(11) == color_of(12)
    ('#18b6ff', False)
    """
    if object_id <= len(COLORS):
        return COLORS[object_id - 1]
    red, green, blue = colorsys.hsv_to_rgb(object_id * GOLDEN_RATIO % 1, 0.75, 1.0)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
