"""Every screen in a real browser, by role and name, on a real `costspan serve` that the demo and recorded traces were sent to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from costspan.records import Usage
from costspan.report import html
from made_runs import made_call, made_run
from page_runs import HOSTILE, hostile_run
from page_server import Served, each_span, only, recorded, renamed, serving
from real_programs import missing

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SCREENS = ("/", "/runs", "/run?id=last", "/call?run=last&n=1", "/tools", "/models", "/compare", "/measurement", "/run?id=nobody")
SCHEMES = ("light", "dark")
SENT = (
    ("official-langchain__pipeline_openai", 0.01),
    ("official-langchain__pipeline_anthropic", 0.02),
    ("google-adk__pipeline_openai", 1),
    ("openinference-openai-agents__pipeline_openai_chat", 2),
    ("official-langchain__pipeline_openai_stream_nousage", 3),
)
BUDGETS = "version: 1\nbudgets: [{name: team, match: {provider: openai}, month_usd: 0.5, day_usd: 0.001}]\n"

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


class World(NamedTuple):
    """A server with runs in it, and the demo's run as one file."""

    served: Served
    file: Path


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).exists():
        missing("Chromium", "sudo apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "budgets.yaml").write_text(BUDGETS)
    demo = [
        sys.executable,
        "-m",
        "costspan",
        "demo",
        "--seed",
        "7",
        "--record-dir",
        str(folder),
        "--html",
        str(folder / "run.html"),
    ]
    with serving(folder / "history.db", COSTSPAN_BUDGETS=str(folder / "budgets.yaml")) as served:
        sent_to = {"OTEL_EXPORTER_OTLP_ENDPOINT": served.otlp, "OTEL_SERVICE_NAME": "demo"}
        subprocess.run(demo, check=True, capture_output=True, timeout=240, env={**os.environ, **sent_to})
        for salt, (name, days_ago) in enumerate(SENT, 1):
            served.send(recorded(name, days_ago=days_ago, salt=salt))
        served.settled(1 + len(SENT))
        yield World(served, folder / "run.html")


@pytest.fixture
def opened(browser):
    """Opens pages; a test fails for anything that the browser complains of, a breach of the policy for instance."""
    contexts, troubles = [], []

    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [line for line in troubles if "404" not in line] == []


def violations(page, scheme: str = "light") -> list[str]:
    """What axe-core finds to be serious or critical; in the dark, where only colours differ, of contrast."""
    from axe_playwright_python.sync_playwright import Axe

    rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
    found = Axe().run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]
    return [
        f"{item['id']}: {node['target']} {node['failureSummary']}"
        for item in found
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]


def falls(texts: list[str]) -> bool:
    """Whether these figures are in falling order."""
    shown = [int(text.replace(",", "")) for text in texts]
    return shown == sorted(shown, reverse=True)


def until(condition) -> None:
    """Wait for what a script does a moment later."""
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def use_run(page, agent: str) -> None:
    """Expand an agent, sort the tools, open a call with the keyboard and close it again."""
    fold = page.locator("details.agent").filter(has_text=agent).first
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    steps = fold.get_by_role("table", name=f"Steps of {agent}")
    steps.get_by_role("columnheader", name="duration").wait_for()
    fold.get_by_text("its own", exact=True).wait_for()
    tools = page.get_by_role("table", name="Tools")
    head = tools.get_by_role("columnheader", name="calls")
    for way in ("descending", "ascending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == way
        shown = [int(cell) for cell in tools.locator("tbody tr td:nth-child(2)").all_inner_texts()]
        assert shown == sorted(shown, reverse=way == "descending")
    link = page.get_by_role("table", name="Calls", exact=True).get_by_role("link", name="Call 2", exact=True)
    link.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name=re.compile("^Call 2: "))
    panel.wait_for()
    sums = panel.get_by_role("table", name="How the cost was reckoned")
    sums.get_by_role("row", name=re.compile("^total")).wait_for()
    page.keyboard.press("Escape")
    panel.wait_for(state="detached" if page.url.startswith("file:") else "hidden")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Call 2"


def test_the_file_of_a_run_can_be_used_offline(opened, world):
    page = opened()
    page.context.set_offline(True)
    page.goto(world.file.as_uri())
    use_run(page, "Dev")
    page.locator("canvas").wait_for()
    page.locator(".uplot").hover()
    until(lambda: re.search(r"call \d+ at ", page.locator(".readout").inner_text()))


def test_a_small_call_in_a_great_window_is_not_drawn_as_none(opened, tmp_path):
    calls = tuple(made_call(usage=Usage(60 + number, 20), number=number, context_window_tokens=1_000_000) for number in range(3))
    page = opened()
    page.goto(html.write([made_run(calls)], tmp_path / "small.html").as_uri())
    page.locator("canvas").wait_for()
    page.locator(".uplot").hover()
    until(lambda: "call 2 at " in page.locator(".readout").inner_text())
    assert page.locator(".readout").inner_text().endswith("PM 0.0081 %")


def test_a_price_row_keeps_its_shape_on_a_narrow_screen(opened, tmp_path):
    page = opened(viewport={"width": 380, "height": 800})
    page.goto(html.write([made_run((made_call(),))], tmp_path / "narrow.html").as_uri())
    assert page.get_by_role("table", name="Models").locator("tbody tr").bounding_box()["height"] < 80


def test_a_served_run_can_be_used(opened, world):
    page = opened()
    page.goto(f"{world.served.page}/runs")
    page.get_by_role("searchbox", name="Search").fill("demo")
    page.get_by_role("status").filter(has_text="1 run").wait_for()
    page.get_by_role("table", name="Runs").locator("tbody a").first.click()
    use_run(page, "Dev")
    page.locator("canvas").wait_for()


def test_runs_are_filtered_and_sorted_in_place(opened, world):
    page = opened()
    page.goto(f"{world.served.page}/runs")
    runs = page.get_by_role("table", name="Runs")
    from playwright.sync_api import expect

    page.get_by_label("model").select_option("claude-sonnet-4-5")
    page.wait_for_url(re.compile("model=claude-sonnet-4-5"))
    expect(runs.locator("tbody tr")).to_have_count(1)
    page.get_by_label("model").select_option("")
    runs.locator("tbody tr").nth(1).wait_for()
    runs.get_by_role("link", name="cost", exact=True).click()
    page.wait_for_url(re.compile("sort=cost"))
    expect(runs.get_by_role("columnheader", name="cost")).to_have_attribute("aria-sort", "descending")
    shown = [float(text.strip("$+?~")) for text in runs.locator("tbody td:nth-child(8)").all_inner_texts() if "$" in text]
    assert shown == sorted(shown, reverse=True)


def test_two_runs_are_ticked_and_compared(opened, world):
    page = opened()
    page.goto(f"{world.served.page}/runs")
    for box in page.get_by_role("checkbox").all()[:2]:
        box.check()
    page.get_by_role("button", name="Compare the two ticked").click()
    whole = page.get_by_role("table", name="The whole run")
    whole.get_by_role("row", name=re.compile(r"^cost \$")).wait_for()
    for name in ("By agent", "By model"):
        assert page.get_by_role("table", name=name).locator("tbody tr").count()
    page.get_by_label("A", exact=True).select_option(index=3)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_url(re.compile("a="))
    page.get_by_role("table", name="By agent").wait_for()


def test_the_overview_shows_days_budgets_and_who_spent(opened, world):
    page = opened()
    page.goto(world.served.page)
    page.locator("#by-day canvas").wait_for()
    drawn = page.locator("#by-day .u-over")
    drawn.hover(position={"x": drawn.bounding_box()["width"] - 5, "y": 60})
    until(lambda: re.search(r"\d{4}-\d\d-\d\d: \$", page.locator("#spend .readout").inner_text()))
    page.get_by_text("The figures as a table").click()
    assert page.get_by_role("table", name="Spend by day").locator("tbody tr").count() >= 3
    page.get_by_role("navigation", name="Stacked by").get_by_role("link", name="agent").click()
    page.locator("#spend .legend").get_by_text("Dev", exact=True).wait_for()
    budget = page.get_by_role("table", name="Budgets").get_by_role("row", name=re.compile("today"))
    assert "over" in budget.inner_text()
    page.get_by_role("navigation", name="Period").get_by_role("link", name="today").click()
    page.get_by_role("table", name="Latest runs").wait_for()


def test_a_run_that_is_going_is_followed(opened, world):
    spans = recorded("official-langchain__pipeline_openai", salt=99)
    ended = [span["spanId"] for span in sorted(each_span(spans), key=lambda span: int(span["endTimeUnixNano"]))]
    world.served.send(only(spans, set(ended[:6])))
    page = opened()
    page.goto(f"{world.served.page}/runs")
    page.get_by_role("link", name="run of PM").click()
    page.get_by_text("running", exact=True).wait_for()
    agent = page.locator("details.agent").filter(has_text="PM")
    agent.locator("summary").click()
    calls = page.get_by_role("table", name="Calls", exact=True)
    calls.get_by_role("columnheader", name="in", exact=True).get_by_role("button").click()
    before = calls.locator("tbody tr").count()
    page.evaluate("window.sameDocument = true")
    world.served.send(only(spans, set(ended[6:11])))
    calls.locator("tbody tr").nth(before).wait_for()
    assert agent.get_attribute("open") is not None
    assert calls.get_by_role("columnheader", name="in", exact=True).get_attribute("aria-sort") == "descending"
    until(lambda: falls(calls.locator("tbody td:nth-child(4)").all_inner_texts()))
    world.served.send(only(spans, set(ended[11:])))
    page.get_by_text("running", exact=True).wait_for(state="detached")
    page.get_by_role("heading", name="software_pipeline").wait_for()
    assert page.evaluate("window.sameDocument") is True
    assert page.locator("#follow").count() == 0


def test_axe_sees_what_is_wrong(opened):
    page = opened()
    page.set_content("<html lang=en><title>t</title><main><button></button><p style='color:#bbb;background:#fff'>pale</p></main>")
    assert {line.partition(":")[0] for line in violations(page)} == {"button-name", "color-contrast"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_serious_on_any_screen(scheme, opened, world):
    page = opened(color_scheme=scheme)
    for path in SCREENS:
        page.goto(world.served.page + path)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert violations(page, scheme) == [], path
    page.goto(f"{world.served.page}/run?id=last")
    page.get_by_role("link", name="Call 1", exact=True).first.click()
    page.get_by_role("dialog", name=re.compile("^Call 1: ")).wait_for()
    assert violations(page, scheme) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_serious_in_the_file(scheme, opened, world):
    page = opened(color_scheme=scheme)
    page.goto(world.file.as_uri() + "#r0-call-2")
    assert violations(page, scheme) == []
    page.goto(world.file.as_uri() + "#r0-agents")
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert violations(page, scheme) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_is_wider_than_a_narrow_screen(scheme, opened, world):
    page = opened(color_scheme=scheme, viewport={"width": 380, "height": 800})
    for url in (*(world.served.page + path for path in SCREENS), world.file.as_uri()):
        page.goto(url)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 380, url


def test_every_screen_can_be_read_without_scripts(opened, world):
    page = opened(java_script_enabled=False)
    for path in SCREENS:
        page.goto(world.served.page + path)
        page.get_by_role("heading", level=1).wait_for()
    page.goto(f"{world.served.page}/runs")
    page.get_by_label("outcome").select_option("ok")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("table", name="Runs").locator("tbody a").first.click()
    page.get_by_role("link", name="Call 1", exact=True).first.click()
    page.get_by_role("heading", name=re.compile("^Call 1: ")).wait_for()
    page.goto(world.file.as_uri())
    page.get_by_role("table", name="Calls", exact=True).get_by_role("link", name="Call 1", exact=True).click()
    page.locator("#r0-call-1").wait_for()


def test_a_person_logs_in_with_the_token(opened, tmp_path):
    token = "a-token-of-twenty-odd-letters"
    with serving(tmp_path / "history.db", COSTSPAN_TOKEN=token) as served:
        page = opened()
        page.goto(served.page)
        assert violations(page) == []
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        page.goto("about:blank")  # before the server that it follows ends


def test_hostile_names_stay_text_on_every_screen(opened, tmp_path):
    with serving(tmp_path / "history.db") as served:
        served.send(renamed(recorded("official-langchain__pipeline_openai"), HOSTILE))
        served.settled(1)
        page = opened()
        for path in (*SCREENS, f"/runs?q={HOSTILE}&agent={HOSTILE}", f"/run?id={HOSTILE}", f"/compare?a=last&b={HOSTILE}"):
            page.goto(served.page + path)
            assert page.locator("img").count() == 0, path
            assert page.locator("script:not([src]):not([type='application/json'])").count() == 0, path
        page.goto(f"{served.page}/run?id=last")
        page.get_by_role("link", name="Call 1", exact=True).first.click()
        page.get_by_role("dialog").wait_for()
        assert "<script>alert(1)</script>" in page.get_by_role("dialog").inner_text()
        page.locator("canvas").wait_for()
    page.goto(html.write([hostile_run()], tmp_path / "run.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.locator("img").count() == 0
