"""A budget file that cannot be used is no secret: it is told at the start and in `/health`, and the server serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from costspan.cli.serve import _addresses
from serve_parts import serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("text", "says"), [(None, "cannot be read (No such file"), ("budgets: [", "not valid YAML")])
def test_a_budget_file_that_cannot_be_used_is_told_at_the_start_and_in_health(
    tmp_path: Path, text: str | None, says: str
) -> None:
    path = tmp_path / "budgets.yaml"
    if text is not None:
        path.write_text(text)
    with serving(tmp_path / "history.db", budgets=path) as running:
        last = _addresses(running.server).splitlines()[-1]
        assert last.startswith("costspan: no budget is shown: ")
        assert says in last
        health = running.server.health()
        assert (health["ok"], says in str(health["trouble"])) == (True, True)
        path.write_text("budgets: [{name: mine, day_usd: 1}]")
        assert running.server.health()["trouble"] is None
        assert "no budget" not in _addresses(running.server)
