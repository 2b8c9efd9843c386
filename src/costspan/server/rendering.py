"""Screens as responses: the templates of the server over those of the run detail."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.responses import HTMLResponse

from costspan.report.page.templating import asset, environment

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

SCREENS: Final = (
    ("/", "Overview"),
    ("/runs", "Runs"),
    ("/tools", "Tools"),
    ("/models", "Models and prices"),
    ("/compare", "Compare"),
    ("/measurement", "Measurement"),
)
STATIC: Final = {
    "page.css": ("page.css", "text/css"),
    "uPlot.css": ("vendor/uPlot.min.css", "text/css"),
    "htmx.js": ("vendor/htmx.min.js", "text/javascript"),
    "sse.js": ("vendor/hx-sse.min.js", "text/javascript"),
    "uPlot.js": ("vendor/uPlot.iife.min.js", "text/javascript"),
    "charts.js": ("charts.js", "text/javascript"),
    "page.js": ("page.js", "text/javascript"),
    "serve.js": ("serve.js", "text/javascript"),
}
"""What a page loads, by the name it is served as: the file beside the shared templates, and its type."""


class Screen(NamedTuple):
    """What the layout around a screen needs. `path` is its own address, `here` the entry of the menu it belongs to.

    `live`: it asks for itself again whenever the history or a run that is going has changed.
    """

    title: str
    here: str
    path: str = ""
    live: bool = False
    charts: bool = False


@cache
def templates() -> Environment:
    """Made once; templates are compiled at their first use."""
    made = environment("costspan.server")
    made.globals["static"] = static_path
    return made


def show(template: str, screen: Screen, view: object, *, status: int = 200) -> HTMLResponse:
    """A whole document."""
    body = templates().get_template(template).render(screen=screen, screens=SCREENS, view=view)
    return HTMLResponse(body, status, {"Cache-Control": "no-store"})


def piece(template: str, view: object, *, status: int = 200) -> HTMLResponse:
    """A piece of a document, for a script that puts it in its place."""
    return HTMLResponse(templates().get_template(template).render(view=view), status, {"Cache-Control": "no-store"})


def is_partial(request: Request) -> bool:
    """Whether htmx asks for a piece."""
    return request.headers.get("hx-request-type") == "partial"


def missing(what: str) -> HTMLResponse:
    """A page that says what is not there."""
    return show("missing.html", Screen("Not found", ""), what, status=404)


@cache
def static_path(name: str) -> str:
    """The address of a file that pages load; it changes with the file, so that browsers may keep it for ever."""
    return f"/static/{name}?v={hashlib.sha256(asset(STATIC[name][0]).encode()).hexdigest()[:12]}"


def static_file(name: str) -> tuple[str, str] | None:
    """The text and the type of a file that pages load; None for any other name."""
    found = STATIC.get(name)
    return None if found is None else (asset(found[0]), found[1])
