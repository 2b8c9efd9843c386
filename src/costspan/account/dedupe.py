"""De-duplication: `fold` for a finished set of spans, `Folder` for a living process. One rule book (`fold`), two callers."""

from __future__ import annotations

from costspan.account.fold import Group, fold
from costspan.account.folder import Folded, Folder

__all__ = ["Folded", "Folder", "Group", "fold"]
