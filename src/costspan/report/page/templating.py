"""The templates and the files beside them. Everything from outside is escaped, and a name that is not there is an error."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE: Final = "costspan.report.page"


def environment(*packages: str) -> Environment:
    """An environment over the templates of the run detail and those of further packages."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(package) for package in (*packages, PACKAGE)])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def shared_environment() -> Environment:
    """The one of the one-file report; made once, for its templates are compiled at their first use."""
    return environment()


@cache
def asset(name: str) -> str:
    """A style, script or licence that comes with the package, by its path beside the templates."""
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")
