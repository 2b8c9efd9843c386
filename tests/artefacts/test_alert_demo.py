"""`make alert-demo`, played by the real Prometheus and Alertmanager: the page arrives, right to the cent; the twin is silent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from costspan.demo import alert
from real_programs import INSTALL, require

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(180)]


def test_a_spike_becomes_pages_with_the_right_dollars_and_the_twin_stays_silent(tmp_path: Path):
    require("prometheus")
    require("prometheus-alertmanager", "alertmanager", install=INSTALL)
    told: list[str] = []
    began = time.monotonic()
    outcome = alert.run(tmp_path, say=told.append)
    assert time.monotonic() - began < 180
    found = [(page.rules, page.notice.name, page.notice.receiver, page.right) for page in outcome.pages]
    assert found == [
        (alert.WITH_BUDGETS, "CostspanDailyBudgetExceeded", "page", True),
        (alert.WITH_BUDGETS, "CostspanRunawayRun", "page", True),
        (alert.WITHOUT, "CostspanRunawayRun", "page", True),
        (alert.WITHOUT, "CostspanWorkflowSpendHigh", "page", True),
    ], "\n".join(told)
    assert "Dev $7." in outcome.pages[0].notice.summary
    assert outcome.early == ()
    assert outcome.twin == ()
    assert outcome.good, "\n".join(told)


def test_a_program_that_is_not_installed_is_named_with_its_install_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(alert.CostspanError, match="prometheus is not installed: sudo apt-get install"):
        alert.Prometheus(tmp_path, rules={}).start()
