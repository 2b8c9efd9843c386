"""Framework cache hits: an answer handed out again, which no provider billed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.conventions import SCOPE

if TYPE_CHECKING:
    from costspan.account.layer import Layer
    from costspan.readings import Reading

_QUICK_NS: Final = 5_000_000
"""A cache answers within this: hits took 0.4 to 3 ms, the quickest real call through a client takes longer."""
_QUICK_BESIDE_SDK_NS: Final = 50_000_000
"""The same where the first call had a provider SDK's span and this one has none, which proves more than haste."""
_QUICKER: Final = 5
_WINDOW_NS: Final = 3_600_000_000_000
_REMEMBERED: Final = 4096


class _Answer(NamedTuple):
    tokens: tuple[int, int]
    model: str | None
    scopes: set[str]
    outer: str
    end_ns: int
    took_ns: int
    trusted: bool


_answer = partial(tuple.__new__, _Answer)  # half the time of calling the class


class CacheHits:
    """Remembers the answers of the last hour by id (bounded), and says which calls handed out one of them again.

    A hit repeats an id from the same scope, starts after the first has ended, tells equal model and tokens, has nothing beneath
    it and is over at once. An id under which real calls got different answers, as from local servers, is not believed again.
    (The same answer to a slow call is what a program that was started anew gets from a deterministic server.)
    """

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], _Answer] = OrderedDict()

    def seen(self, layers: list[Layer], reading: Reading) -> bool:
        """Take note of a call, told by these layers; True when it is a hit. Calls must come in order of time."""
        if reading.cache_hit:
            return True
        outer = layers[0]
        response_id = reading.response_id
        # Our own hooks ask the framework itself, and mark its hits.
        if response_id is None or outer.tokens is None or outer.scope == SCOPE:
            return False
        key = (outer.scope, response_id)
        before = self._answers.get(key)
        model = reading.response_model or reading.request_model
        took_ns = outer.end_ns - outer.start_ns
        answer = _answer((outer.tokens, model, outer.cluster.scopes, outer.scope, outer.end_ns, took_ns, True))
        if before is not None and outer.start_ns >= before.end_ns:
            if _is_hit(before, answer, layers):
                return True
            if not before.trusted or (before.tokens, before.model) != (answer.tokens, answer.model):
                answer = answer._replace(trusted=False)
        self._remember(key, answer)
        for layer in layers[1:]:
            # Of two frameworks' layers, the other one may be the outer one of the hit.
            self._remember((layer.scope, response_id), answer)
        return False

    def _remember(self, key: tuple[str, str], answer: _Answer) -> None:
        answers = self._answers
        answers[key] = answer
        answers.move_to_end(key)
        if len(answers) > _REMEMBERED:
            answers.popitem(last=False)

    @staticmethod
    def marked(reading: Reading) -> Reading:
        """The reading of a call that turned out to be a hit."""
        return replace(reading, cache_hit=True)


def _is_hit(before: _Answer, answer: _Answer, layers: list[Layer]) -> bool:
    began = layers[0].start_ns
    if not before.trusted or began - before.end_ns > _WINDOW_NS or not all(layer.lone for layer in layers):
        return False
    if (before.tokens, before.model) != (answer.tokens, answer.model) or not answer.scopes <= before.scopes:
        return False
    at_once = _QUICK_BESIDE_SDK_NS if answer.scopes < before.scopes and before.outer in answer.scopes else _QUICK_NS
    return answer.took_ns <= min(at_once, before.took_ns // _QUICKER)
