"""Names and combinations of names as small numbers, remembered in memory once they are surely on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.history.schema import DIMS, NOBODY

if TYPE_CHECKING:
    import sqlite3

REMEMBERED: Final = 50_000
NAME_MAX: Final = 500
"""Longer names are cut; what is that long is no name."""
_INSERT_DIM: Final = f"INSERT OR IGNORE INTO dims ({', '.join(DIMS)}) VALUES ({', '.join('?' * len(DIMS))})"
_FIND_DIM: Final = f"SELECT id FROM dims WHERE {' AND '.join(f'{name} = ?' for name in DIMS)}"

DimKey = tuple["str | None", ...]


class Interning:
    """Used inside a transaction; tell it how that ended (`kept` or `undone`), for what was undone has no number."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._dims: dict[DimKey, int] = {}
        self._new_names: dict[str, int] = {}
        self._new_dims: dict[DimKey, int] = {}

    def name(self, db: sqlite3.Connection, text: str | None) -> int:
        """The number of a name; `schema.NOBODY` for an unknown one."""
        if not text:
            return NOBODY
        found = self._names.get(text) or self._new_names.get(text)
        if found is None:
            found = self._new_names[text] = _number(db, plain(text))
        return found

    def known(self, text: str) -> int | None:
        """The number of a name that has one already."""
        return self._names.get(text) or self._new_names.get(text)

    @property
    def count(self) -> int:
        """How many names are remembered."""
        return len(self._names) + len(self._new_names)

    def dim(self, db: sqlite3.Connection, key: DimKey) -> int:
        """The number of a combination, in the order of `schema.DIMS`."""
        found = self._dims.get(key) or self._new_dims.get(key)
        if found is None:
            numbers = tuple(self.name(db, text) for text in key)
            db.execute(_INSERT_DIM, numbers)
            (found,) = db.execute(_FIND_DIM, numbers).fetchone()
            self._new_dims[key] = found
        return found

    def kept(self) -> None:
        """The transaction was committed."""
        if len(self._names) > REMEMBERED:
            self._names.clear()
        if len(self._dims) > REMEMBERED:
            self._dims.clear()
        self._names.update(self._new_names)
        self._dims.update(self._new_dims)
        self.undone()

    def undone(self) -> None:
        """The transaction was rolled back."""
        self._new_names = {}
        self._new_dims = {}


def plain(text: str) -> str:
    """A name as it can be stored: cut, without halves of surrogate pairs, without NUL."""
    text = text[:NAME_MAX].replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _number(db: sqlite3.Connection, text: str) -> int:
    found = db.execute("SELECT id FROM names WHERE text = ?", (text,)).fetchone()
    if found is None:
        found = db.execute("INSERT INTO names (text) VALUES (?) RETURNING id", (text,)).fetchone()
    return int(found[0])
