"""What was wrong with an input, one line per kind and file: the first place, and how often."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS_MAX: Final = 1000


class Problem(NamedTuple):
    """`where` is `byte 1234` or `line 5` of the unpacked data, empty for the file as a whole; `times` how often it occurred."""

    file: str
    where: str
    reason: str
    times: int = 1

    def __str__(self) -> str:
        place = f"{self.file}: {self.where}: " if self.where else f"{self.file}: "
        more = f" ({self.times - 1:,} more like it)" if self.times > 1 else ""
        return f"{place}{self.reason}{more}"


class Problems:
    """Collects problems in the order of their first occurrence; bounded, whatever the input holds."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], str] = {}
        self._times: Counter[tuple[str, str]] = Counter()

    def add(self, file: str, where: str, reason: str) -> None:
        key = (file, reason)
        if key in self._first or len(self._first) < KINDS_MAX:
            self._first.setdefault(key, where)
            self._times[key] += 1

    def __iter__(self) -> Iterator[Problem]:
        for (file, reason), where in self._first.items():
            yield Problem(file, where, reason, self._times[file, reason])

    def __len__(self) -> int:
        return len(self._first)
