"""What the parts of the server share, and what pages may ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from costspan.account.meters import Meters
    from costspan.history.database import Database
    from costspan.price.book import PriceBook
    from costspan.records import Run


def _no_runs() -> Sequence[Run]:
    return ()


@dataclass(frozen=True, slots=True)
class Options:
    """How `costspan serve` was asked to run. `token` None: only loopback addresses are served."""

    host: str = "127.0.0.1"
    page_port: int = 8717
    http_port: int = 4318
    grpc_port: int = 4317
    token: str | None = None
    forward: str | None = None
    keep_days: int | None = None
    keep_bytes: int | None = None
    quiet_seconds: float = 3.0
    budgets: Path | None = None


@dataclass(slots=True)
class Context:
    """Handed to `create_app` and by it to the pages (`request.app.state.context`).

    `database.reading()` gives a connection for `history.queries` and `history.run_queries`. `live_runs()` answers with the
    runs whose trace is still open, assembled from the spans that have come so far (newest first, at most 50, a second old
    at most); `health()` with plain JSON for the page on measurement health. Both may be called from any thread.
    """

    database: Database
    options: Options = field(default_factory=Options)
    book: PriceBook | None = None
    meters: Meters | None = None
    live_runs: Callable[[], Sequence[Run]] = _no_runs
    health: Callable[[], dict[str, object]] = dict
