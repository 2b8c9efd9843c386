"""From ended calls to booked calls in a living process: each once, whoever told of it, and as soon as that is certain.

While no other instrumentation writes model-call spans, a call is booked the moment it ends. From the first foreign GenAI
scope on, every call goes through the `Folder`, which answers with calls that nothing can change any more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.account.booking import make_call
from costspan.account.dedupe import Folded, Folder
from costspan.account.waste import Asked
from costspan.conventions import SCOPE
from costspan.records import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.account.ledger import Ledger, Node
    from costspan.account.meters import Meters
    from costspan.account.outside import Outside
    from costspan.price.book import PriceBook
    from costspan.readings import Reading, SpanRecord
    from costspan.records import Call, Owner

PLACES_MAX: Final = 20_000
"""Ended calls whose place in the tree is remembered until they are settled."""


class Place(NamedTuple):
    """Where a call ended: its node in the live tree, its owner, and the call itself if it is already priced."""

    node: Node | None
    owner: Owner
    call: Call | None


NOWHERE: Final = Place(None, NOBODY, None)


class Settling:
    """Books calls into the tree and the meters; one lock around the folder."""

    def __init__(self, book: PriceBook, meters: Meters, ledger: Ledger) -> None:
        self.book = book
        self.meters = meters
        self.ledger = ledger
        self.folding = False
        self.on_foreign: Callable[[int, Call | str], None] | None = None
        """Told, for a foreign span, the call that it is, or the span id of which it is a duplicate."""
        self.outside: Outside | None = None
        """Gets the calls that belong to no run, where somebody wants to be told of them."""
        self._folder = Folder()
        self._places: OrderedDict[int, Place] = OrderedDict()
        self._lock = threading.RLock()

    def started(self, record: SpanRecord, reading: Reading | None, *, may_be_call: bool) -> None:
        """A span has started while several layers may tell of one call."""
        with self._lock:
            self._folder.started(record, reading, may_be_call=may_be_call)

    def scope_ended(self, record: SpanRecord, reading: Reading | None) -> None:
        """A span that is no call has ended."""
        with self._lock:
            settled = self._folder.ended(record, reading)
        self._book_all(settled)

    def call_ended(self, place: Place, record: SpanRecord, reading: Reading) -> None:
        """A call has ended. Our own (`place.call`) is added to its tree at once, so that spans above can tell it."""
        if place.call is not None:
            self.ledger.book(place.node, place.call)
            if not self.folding:
                self._count(place.node, place.call)
                return
        with self._lock:
            self._places[record.span_id] = place
            if len(self._places) > PLACES_MAX:
                self._places.popitem(last=False)
            settled = self._folder.ended(record, reading)
        self._book_all(settled)

    def run_ended(self, trace_id: int) -> None:
        """Settle the calls of a run whose outermost unit has ended."""
        if self.folding:
            with self._lock:
                settled = self._folder.run_ended(trace_id)
            self._book_all(settled)

    def expire(self, now_ns: int) -> None:
        """Settle what has waited too long."""
        if self.folding:
            with self._lock:
                settled = self._folder.expire(now_ns)
            self._book_all(settled)

    def flush(self) -> None:
        """Settle everything with what is known."""
        if self.folding:
            with self._lock:
                settled = self._folder.flush()
            self._book_all(settled)

    def forget(self) -> None:
        """In a forked child: what waits is the parent's."""
        self._lock = threading.RLock()
        self._folder = Folder()
        self._places = OrderedDict()
        if self.outside is not None:
            self.outside.forget()

    # --- booking -------------------------------------------------------------------------------------
    def _book_all(self, settled: list[Folded]) -> None:
        for folded in settled:
            self._book(folded)

    def _book(self, folded: Folded) -> None:
        places = [self._places.pop(record.span_id, NOWHERE) for record, _ in folded.spans]
        kept = folded.record.scope
        for duplicate in folded.duplicates:
            self.meters.duplicate(kept, duplicate.scope)
            if self.on_foreign is not None:
                self.on_foreign(int(duplicate.span_id, 16), f"{folded.record.span_id:016x}")
        node = next((place.node for place in places if place.node is not None), None)
        if node is not None:
            for place, (record, reading) in zip(places, folded.spans, strict=True):
                if place.node is None:  # a layer that sat in another trace, without an owner
                    self.ledger.keep(node.run, record, reading)
        if folded.already_booked:
            return
        call = (Asked() if node is None else node.run.asked).settled(self._call(folded, places))
        if kept != SCOPE and self.on_foreign is not None:
            self.on_foreign(folded.record.span_id, call)
        if not any(record.scope == SCOPE for record, _ in folded.spans):
            self.ledger.book(node, call)
        self._count(node, call)

    def _count(self, node: Node | None, call: Call) -> None:
        self.meters.call(call)
        if node is None and self.outside is not None:
            self.outside.add(call)

    def _call(self, folded: Folded, places: list[Place]) -> Call:
        if len(places) == 1 and places[0].call is not None and not folded.cache_hit:
            return places[0].call
        owner = next((place.owner for place in places if place.owner.agent), places[0].owner)
        return make_call(folded.record, folded.reading, owner, self.book)
