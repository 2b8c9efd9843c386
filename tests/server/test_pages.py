from __future__ import annotations

import gzip
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from costspan.history.books import Entry
from costspan.history.database import Database
from costspan.history.store import Store
from costspan.server.app import create_app
from costspan.server.context import Context
from costspan.server.lone import lone_runs
from costspan.server.rendering import STATIC, static_path
from page_runs import hostile_run, team_run

if TYPE_CHECKING:
    from pathlib import Path

    from costspan.records import Run

SCREENS = ("/", "/runs", "/run?id=last", "/tools", "/models", "/compare", "/measurement")
LONG_AGO = "?days=3660"


class Served:
    def __init__(self, path: Path, *runs: Run) -> None:
        self.database = Database(path / "history.db")
        self.store = Store(self.database)
        self.live: list[Run] = []
        self.store.save([Entry(run, service="svc") for run in runs])
        self.context = Context(self.database, live_runs=lambda: self.live, health=lambda: {"ok": True, "received": {"spans": 7}})
        self.client = TestClient(create_app(self.context), base_url="http://127.0.0.1")

    def get(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text


@pytest.fixture
def served(tmp_path):
    return Served(tmp_path, team_run(run_id="a"), team_run(20, dearer="2", run_id="b"))


class Attributes(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [(tag, name, value) for name, value in attrs] or [(tag, "", None)]


@pytest.mark.parametrize("path", SCREENS)
def test_every_screen_answers_also_over_an_empty_history(path, served, tmp_path):
    assert "</h1>" in served.get(path)
    (tmp_path / "empty").mkdir()
    assert "</h1>" in Served(tmp_path / "empty").get(path, 404 if path.startswith("/run?") else 200)


@pytest.mark.parametrize(
    "path", [*SCREENS, "/call?run=a&n=1", "/runs?q=%3Cscript%3E", "/run?id=%3Cscript%3Ealert(1)%3C/script%3E"]
)
def test_no_screen_runs_what_a_name_says(path, tmp_path):
    served = Served(tmp_path, replace(hostile_run(storable=True), id="a"), hostile_run(storable=True))
    answer = served.client.get(path)
    found = Attributes(answer.text).found
    scripts = {value for tag, name, value in found if tag == "script" and name == "src"}
    assert scripts <= {static_path(name) for name in STATIC}
    assert {value for tag, name, value in found if tag == "script" and name == "type"} <= {"application/json"}
    assert not [name for tag, name, _ in found if name.startswith("on") or name == "style" or tag == "img"]
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_figures_of_the_overview_are_those_of_the_runs(served):
    page = served.get("/" + LONG_AGO)
    calls = re.search(r"<dt>model calls</dt><dd>(\d+)", page)
    assert calls is not None
    assert int(calls[1]) == 34
    assert "gpt-5-mini" in page
    assert ">PM<" in page


def test_runs_are_found_sorted_and_narrowed(served):
    assert "2 runs" in served.get("/runs")
    assert "0 runs" in served.get("/runs?q=nowhere")
    assert "2 runs" in served.get("/runs?q=release&agent=PM&model=gpt-5-mini&outcome=ok")
    dear = served.get("/runs?sort=cost&way=down")
    assert dear.index("id=b") < dear.index("id=a")
    assert 'aria-sort="descending"' in dear
    cheap = served.get("/runs?sort=cost&way=up")
    assert cheap.index("id=a") < cheap.index("id=b")


def test_calls_outside_of_any_run_are_named_beside_the_runs_and_listed_on_their_own(served):
    assert "outside of any run" not in served.get("/runs")
    (lone,) = lone_runs(team_run(3).calls)
    served.store.save([Entry(lone, service="svc", lone=True)])
    assert '2 runs, <a href="/runs?lone=1">3 calls outside of any run</a>' in served.get("/runs")
    found = served.get("/runs?lone=1")
    assert "1 trace with calls outside of any run" in found
    assert f"id={lone.id}" in found
    assert "id=a" not in found
    assert "lone=1" in found[found.index("aria-sort") :]


@pytest.mark.parametrize("query", ["sort=;drop", "start=-1", "start=99999999999", "way=x", "q=%00", "model=%27--"])
def test_odd_queries_are_no_errors(served, query):
    served.get(f"/runs?{query}")
    served.get(f"/?days={query}")


def test_run_detail_has_the_sections_of_the_file(served):
    page = served.get("/run?id=a")
    for name in ("agents", "cost", "timeline", "context", "tools", "steps", "calls", "models"):
        assert f'id="{name}"' in page
    assert "/call?run=a&amp;n=4" in page


def test_a_call_comes_as_a_page_and_as_a_panel(served):
    assert "<!doctype" in served.get("/call?run=a&n=4")
    panel = served.client.get("/call?run=a&n=4", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text
    assert "<html" not in panel
    assert "Call 4: gpt-5-mini</h3>" in panel
    assert "openai/gpt-5-mini@2026-01-01" in panel
    for wrong in ("n=0", "n=999", "n=x", ""):
        served.get(f"/call?run=a&{wrong}", 404)


def test_compare_tells_the_difference(served):
    page = served.get("/compare?a=a&b=b")
    assert "By agent" in page
    assert "+$" in page
    served.get("/compare?a=a&b=nobody", 404)


def test_a_run_that_is_going_is_shown_as_such(served):
    served.live.append(replace(team_run(3, run_id="now"), ended_ns=0))
    assert "Running now" in served.get("/")
    page = served.get("/run?id=now")
    assert '<span class="badge running">' in page
    assert 'hx-sse:connect="/live"' in page
    assert 'hx-sse:connect="/live"' not in served.get("/run?id=a")


def test_measurement_shows_gaps_and_the_server_state(served):
    page = served.get("/measurement" + LONG_AGO)
    assert ">Received<" in page
    assert "<dt>spans</dt><dd>7</dd>" in page
    assert "Every call has usage and a price" in page


def test_a_page_with_its_style_and_scripts_is_light(served):
    page = served.get("/run?id=b")
    paths = ["/run?id=b", *re.findall(r'(?:src|href)="(/static/[^"]+)"', page)]
    assert len(paths) == 1 + len(STATIC)
    assert "immutable" in served.client.get(paths[1]).headers["cache-control"]
    with served.client.stream("GET", paths[0]) as answer:
        assert answer.headers["content-encoding"] == "gzip"
    assert sum(len(gzip.compress(served.get(path).encode(), 5)) for path in paths) < 75_000
    assert served.client.get("/static/../pages.py").status_code == 404


def test_a_long_run_is_turned_page_by_page(tmp_path):
    served = Served(tmp_path, team_run(700, run_id="long"))
    page = served.get("/run?id=long")
    rows = 'aria-label="Call '
    assert page.count(rows) == 500 + 3 * 10
    assert "1–500 of 700" in page
    (after,) = re.findall(r'href="(/run[^"]*calls=500[^"]*)"', page)
    page = served.get(after.replace("&amp;", "&"))
    assert page.count(rows) == 200 + 3 * 10
    assert "501–700 of 700" in page
    served.get("/run?id=long&calls=99999999&lines=x&steps=-1")


def test_a_run_is_found_by_its_trace_once_a_span_further_out_has_come(served):
    trace_id = "0" * 31 + "1"
    served.live.append(replace(team_run(3, run_id=f"{trace_id}-{'f' * 16}"), ended_ns=0))
    assert 'class="badge running"' in served.get(f"/run?id={trace_id}-{'f' * 16}")
    served.live[0] = replace(served.live[0], id=f"{trace_id}-{'a' * 16}")
    assert 'class="badge running"' in served.get(f"/run?id={trace_id}-{'f' * 16}")
    served.live.clear()
    assert 'class="badge ok"' in served.get(f"/run?id={trace_id}-{'f' * 16}")


def test_pages_are_behind_the_gate(served):
    assert served.client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_an_address_that_is_none_is_answered_for_people_and_for_programs(served):
    people = served.client.get("/nowhere", headers={"accept": "text/html"})
    assert (people.status_code, "There is no page at this address" in people.text, "/runs" in people.text) == (404, True, True)
    program = served.client.post("/v1/traces", headers={"accept": "*/*"})
    assert (program.status_code, program.text.startswith("costspan: nothing at this address")) == (404, True)
