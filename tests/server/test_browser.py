from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
import uvicorn

from costspan.history.books import Entry
from costspan.history.database import Database
from costspan.history.store import Store
from costspan.report import html
from costspan.server.app import create_app
from costspan.server.context import Context
from page_runs import team_run

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
PICTURES = os.environ.get("COSTSPAN_PICTURES")
"""A folder into which the pictures of the manual are written."""

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).exists():
        message = "no Chromium: sudo apt install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1200, "height": 850})
    errors: list[str] = []
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    assert errors == []
    opened.close()


@pytest.fixture
def served(tmp_path):
    database = Database(tmp_path / "history.db")
    store = Store(database)
    store.save([Entry(team_run(run_id="a")), Entry(team_run(20, dearer="2", run_id="b"))])
    live: list = []
    listening = socket.create_server(("127.0.0.1", 0))
    app = create_app(Context(database, live_runs=lambda: tuple(live)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    until = time.monotonic() + 10
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", live, store
    server.should_exit = True
    thread.join(15)


def picture(page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def use_run(page, prefix: str) -> None:
    """Expand an agent, sort the tools, open a call with the keyboard and close it again."""
    agent = page.locator("details.agent").filter(has_text="PM").first
    agent.locator("summary").focus()
    page.keyboard.press("Enter")
    assert agent.get_by_role("table", name="Steps of PM").is_visible()
    tools = page.locator(f"#{prefix}tools").get_by_role("table", name="Tools")
    first = tools.locator("tbody th").first
    tools.get_by_role("button", name="calls").click()
    assert first.inner_text() == "search_code"
    tools.get_by_role("button", name="calls").click()
    assert first.inner_text() == "ask_reviewer"
    link = page.locator(f"#{prefix}calls").get_by_role("link", name="Call 4", exact=True)
    link.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name=re.compile("Call 4"))
    panel.wait_for()
    assert "openai/gpt-5-mini@2026-01-01" in panel.inner_text()
    assert panel.get_by_role("table", name="How the cost was reckoned").is_visible()


def test_the_file_of_a_run_can_be_used_offline(page, tmp_path):
    page.context.set_offline(True)
    page.goto(html.write([team_run()], tmp_path / "run.html").as_uri())
    picture(page, "run-light")
    use_run(page, "r0-")
    picture(page, "call")
    page.keyboard.press("Escape")
    assert page.locator("aside.drawer:visible").count() == 0
    assert page.evaluate("document.activeElement.textContent") == "4"


@pytest.mark.parametrize(("name", "scheme", "width"), [("dark", "dark", 1200), ("narrow", "light", 380)])
def test_the_file_fits_a_dark_and_a_narrow_screen(browser, tmp_path, name, scheme, width):
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 850})
    page.goto(html.write([team_run()], tmp_path / "run.html").as_uri())
    page.locator("details.agent summary").nth(1).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture(page, f"run-{name}")
    page.close()


def test_the_served_run_two_runs_compared_and_every_screen(page, served):
    url, _, _ = served
    page.goto(f"{url}/run?id=a")
    use_run(page, "")
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    for path in ("/", "/runs", "/tools", "/models", "/measurement"):
        page.goto(f"{url}{path}")
        assert page.get_by_role("heading", level=1).is_visible()
        if path == "/":
            picture(page, "overview")
    page.goto(f"{url}/compare")
    page.get_by_label("A", exact=True).select_option("a")
    page.get_by_label("B", exact=True).select_option("b")
    page.get_by_role("button", name="Compare").click()
    assert page.get_by_role("table", name="By agent").is_visible()
    picture(page, "compare")


def test_a_run_that_is_going_is_followed(page, served):
    url, live, store = served
    live.append(team_run(3, run_id="now"))
    page.goto(f"{url}/run?id=now")
    page.locator("details.agent summary").first.click()
    rows = page.locator("#calls tbody tr")
    assert rows.count() == 3
    page.wait_for_timeout(1500)
    live[:] = [team_run(6, run_id="now")]
    rows.nth(5).wait_for(timeout=8000)
    assert page.locator("details.agent").first.get_attribute("open") is not None
    assert page.get_by_text("running", exact=True).is_visible()
    store.save([Entry(live.pop())])
    page.get_by_text("running", exact=True).wait_for(state="detached", timeout=8000)
