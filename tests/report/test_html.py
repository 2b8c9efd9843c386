from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from costspan.account.totals import total
from costspan.errors import InputError
from costspan.records import NO_USAGE, ModelTotals, Step, Totals, Unpriced, Usage
from costspan.report import html
from costspan.report.figures import lasted
from costspan.report.page.call_view import call_view
from costspan.report.page.place import Place
from costspan.report.page.rows import model_row, step_row
from costspan.report.page.run_view import run_view
from costspan.report.page.templating import asset, shared_environment
from made_runs import NOON, full_run, made_call, made_run, pipeline
from page_runs import HOSTILE, hostile_run, team_run

VOID = {"meta", "br", "rect", "path", "img", "input", "link"}
OPTIONAL = {"tr", "td", "th", "li", "dt", "dd", "thead", "tbody", "tfoot"}
"""Elements whose end HTML lets one leave out."""


def details(call, index: int) -> str:
    return str(shared_environment().get_template("call.html").module.details(call_view(call, index)))


class Reader(HTMLParser):
    """Every element and its attributes; fails on elements that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        while self._open[-1] != tag:
            assert self._open.pop() in OPTIONAL
        self._open.pop()

    def handle_data(self, data):
        self.texts.append(data)

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.found if "id" in attributes]


def test_a_run_is_one_well_formed_file_with_every_section():
    page = Reader(html.page([team_run()]))
    assert {f"r0-{name}" for name in ("agents", "cost", "timeline", "context", "tools", "steps", "calls", "models")} <= set(
        page.ids()
    )
    assert len(page.ids()) == len(set(page.ids()))


def test_every_link_leads_to_something_in_the_file():
    page = Reader(html.page([team_run(), pipeline()]))
    links = [str(attributes["href"]) for tag, attributes in page.found if tag == "a"]
    assert links
    assert {link[1:] for link in links if link.startswith("#")} <= set(page.ids())
    assert all(link.startswith("#") for link in links)


def test_nothing_is_loaded_from_elsewhere():
    page = html.page([team_run()])
    for licence in (asset("vendor/uPlot.LICENSE.txt"), "https://github.com/leeoniya/uPlot"):
        page = page.replace(licence.replace("*/", ""), "")
    assert not re.search(r"https?://|[\"'(]//[a-z]|url\(|@import|<link|<img|\ssrc=", page)
    assert "fetch(" not in page


def test_the_policy_allows_exactly_the_style_and_script_in_the_file():
    page = html.page([team_run()])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    for tag in ("style", "script"):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(bodies) == 1
        digest = base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in unescape(policy[1])
    assert "unsafe" not in policy[1]
    assert " style=" not in page.replace(bodies[0], "")


def test_hostile_names_stay_text():
    page = html.page([hostile_run(), team_run()])
    read = Reader(page)
    kinds = [attributes.get("type") for tag, attributes in read.found if tag == "script"]
    assert sorted(kinds, key=str) == [None, "application/json", "application/json"]
    assert not any(tag == "img" or name.startswith("on") for tag, attributes in read.found for name in attributes)
    assert "alert(1)" in "".join(read.texts)
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert HOSTILE not in page


def test_the_call_panel_shows_price_row_arithmetic_and_folded_duplicates():
    call = team_run().calls[3]
    shown = details(call, 3)
    assert "openai/gpt-5-mini@2026-01-01" in shown
    assert "input, not cached<td class=n>1,920<td class=n>0.25<td class=n>0.00048" in shown
    assert f"total<td><td><td class=n>{call.cost.amount_usd.normalize():f}<" in shown
    assert "opentelemetry.instrumentation.openai" in shown
    assert "not counted again" in shown


def test_what_is_not_known_is_never_shown_as_zero():
    run = full_run()
    unknown = details(run.calls[1], 1)
    assert "missing" in unknown
    assert "$0" not in unknown
    assert "unknown" in unknown
    assert "estimated" in details(run.calls[2], 2)


def test_calls_of_nobody_are_shown():
    assert "unattributed" in html.page([full_run()])


def test_an_empty_run_and_no_run_at_all_make_a_page():
    Reader(html.page([made_run(())]))
    assert "No run" in html.page([])


def test_a_run_without_times_windows_or_prices_makes_a_page():
    bare = replace(team_run().calls[0], started_ns=0, ended_ns=0, cost=None, context_window_tokens=None)
    page = html.page([made_run((bare,), started_ns=0, ended_ns=0, steps=())])
    assert "Nothing in this run has a time" in page
    assert "no known price" in page or "has a known price" in page


def test_what_has_no_times_lasted_nobody_knows_how_long():
    bare = replace(pipeline(), started_ns=0, ended_ns=0, calls=(made_call(started_ns=0, ended_ns=0),), steps=())
    for page in (html.page([bare]), html.page([bare, bare])):
        texts = Reader(page.replace("<dd", " <dd")).texts
        assert "running" not in texts
        assert "0 ms" not in texts
    assert lasted(bare.started_ns, NOON) == lasted(NOON, 0) == "?"
    assert lasted(NOON, NOON + 12 * 10**6) == "12 ms"


def test_where_the_cost_went_has_the_marks_of_the_sums_beside_it():
    partly = (made_call("A", cost="0.0020"), made_call("A", Usage(1, 1), None, number=2, unpriced=Unpriced("unknown_model")))
    refused = made_call("B", NO_USAGE, None, number=3, refused=True, outcome="error")
    run = replace(made_run((*partly, refused)), models=())
    kinds, _, agents = run_view(run, Place("", lambda _: "")).spend
    assert [(line.name, line.cost) for line in agents.lines] == [("A", "$0.0020+?"), ("B", "$0")]
    assert [line.cost for line in kinds.lines] == ["$0.0020+?"]
    assert model_row(ModelTotals("openai", "gpt-5-mini", total(partly))).per_million == "$117.65+?"


def test_a_step_that_made_no_call_cost_nothing():
    step = Step(0, "A", "route", NOON, NOON + 1, Totals())
    assert step_row(step, {}).cost == "$0"
    assert step_row(replace(step, totals=total([made_call(cost=None)])), {}).cost == "unknown"


def test_several_runs_come_as_a_table_and_a_section_each():
    page = html.page([team_run(), pipeline()], totals=Totals(calls=17))
    assert "<h1>2 runs</h1>" in page
    assert "All together: 17 calls" in page
    assert page.count('<details class="run"') == 2


@pytest.mark.parametrize("steps", [True, False])
def test_five_hundred_spans_stay_below_a_megabyte(steps):
    run = team_run(250) if steps else replace(team_run(500), steps=())
    assert len(html.page([run]).encode()) < 1_000_000


def test_the_same_run_makes_the_same_bytes():
    assert html.page([team_run()]) == html.page([team_run()])


def test_a_page_that_cannot_be_written_says_so_in_one_line(tmp_path):
    with pytest.raises(InputError, match="name another file"):
        html.write([team_run()], tmp_path / "no" / "run.html")


def test_a_file_of_very_many_calls_stays_within_reach():
    page = html.page([team_run(600), *(team_run(400, run_id=f"r{number}") for number in range(6))])
    assert page.count("<aside class=drawer") == html.PANELS_MAX
    read = Reader(page)
    links = {str(attributes["href"]) for tag, attributes in read.found if tag == "a"}
    assert {link[1:] for link in links if link.startswith("#")} <= set(read.ids())


def test_a_file_without_a_curve_carries_no_charts():
    bare = html.page([made_run(())])
    assert "uPlot" not in bare
    assert len(bare) < 40_000
