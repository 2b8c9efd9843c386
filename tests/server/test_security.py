"""Who is let in: host names, tokens, other sites, and what browsers are told."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from costspan.account.meters import Meters
from costspan.history.database import Database
from costspan.server.app import create_app
from costspan.server.context import Context, Options
from costspan.server.inbox import Inbox
from costspan.server.otlp_http import create_receiver
from costspan.server.security import bearer_matches, host_name, is_loopback

TOKEN = "a-token-of-twenty-odd-letters"


@pytest.fixture
def page(tmp_path):
    def make(token=None, base="http://localhost:8717"):
        context = Context(Database(tmp_path / "history.db"), Options(token=token), meters=Meters(version="test"))
        return TestClient(create_app(context), base_url=base, follow_redirects=False)

    return make


@pytest.mark.parametrize("base", ["http://localhost:8717", "http://127.0.0.1:1", "http://[::1]:8717"])
def test_loopback_names_are_served(page, base):
    assert page(base=base).get("/metrics").status_code == 200


@pytest.mark.parametrize("base", ["http://evil.example:8717", "http://localhost.evil.example", "http://127.0.0.1.nip.io"])
def test_a_name_that_was_made_to_point_here_is_not_served(page, base):
    answer = page(base=base).get("/metrics")
    assert answer.status_code == 421
    assert "host name" in answer.text


def test_the_receiver_checks_the_host_too():
    client = TestClient(create_receiver(Inbox(None, None)), base_url="http://evil.example")
    assert client.post("/v1/traces", content=b"x", headers={"Content-Type": "application/x-protobuf"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:9999"},
    ],
)
def test_other_sites_may_not_change_anything(page, headers):
    assert page(TOKEN).post("/login", data={"token": TOKEN}, headers=headers).status_code == 403


def test_with_a_token_nothing_is_shown_without_it(page):
    client = page(TOKEN)
    for path in ("/", "/metrics", "/health", "/no-such-page"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/", headers={"Accept": "text/html"}).headers["location"] == "/login"
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/static/page.css").status_code == 200
    assert client.get("/static/../health").status_code == 401


def test_a_person_logs_in_with_the_token(page):
    client = page(TOKEN)
    assert client.post("/login", data={"token": "wrong"}).status_code == 401
    answer = client.post("/login", data={"token": TOKEN}, headers={"Origin": "http://localhost:8717"})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/health").status_code == 200
    stranger = page(TOKEN)
    stranger.cookies.set("costspan", "0" * 64)
    assert stranger.get("/health").status_code == 401


def test_a_token_guards_the_receiver(tmp_path):
    client = TestClient(create_receiver(Inbox(None, None), token=TOKEN), base_url="http://collector.internal")
    assert client.post("/v1/traces", content=b"x").status_code == 401
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("/v1/traces", content=b"x", headers=known).status_code == 415


def test_browsers_are_told_to_load_nothing_from_elsewhere(page):
    headers = page().get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_a_cookie_that_is_none_lets_nobody_in(page):
    for cookie in ('costspan="', "costspan=\xff", "=;;;", "costspan"):
        assert page(TOKEN).get("/health", headers={"Cookie": cookie.encode("latin-1")}).status_code == 401


def test_loopback_is_told_from_the_rest():
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.8.8.8", "::1"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.0.1", "example.com", ""))


def test_small_parts():
    assert host_name("LocalHost:80") == "localhost"
    assert host_name("[::1]:80") == "[::1]"
    assert bearer_matches(f"bearer  {TOKEN}", TOKEN)
    assert not bearer_matches(TOKEN, TOKEN)
    assert not bearer_matches("Bearer ", TOKEN)
