"""De-duplication: `fold` for a finished set of spans, `Folder` for a living process. One rule book (`fold`), two callers."""

from __future__ import annotations

from costspan.account.fold import Group, fold

__all__ = ["Group", "fold"]
