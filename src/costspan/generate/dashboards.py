"""The Grafana dashboards that are shipped with costspan, for people with a Grafana of their own.

They are built from code by `grafana/build` and committed; a wheel holds the same files.
"""

from __future__ import annotations

import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costspan.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_CHECKOUT: Final = Path(__file__).resolve().parents[3] / "grafana" / "dashboards"
_DATA_SOURCE: Final = "datasource"
"""The variable of every dashboard that chooses the data source."""


def shipped() -> Traversable:
    """The folder of the dashboards: inside an installed wheel, or in a checkout. Raises SettingsError without one."""
    installed = resources.files("costspan").joinpath("_artefacts").joinpath("dashboards")
    for folder in (installed, _CHECKOUT):
        if folder.is_dir():
            return folder
    message = "the dashboards are missing from this installation; reinstall costspan"
    raise SettingsError(message)


def read(datasource: str | None = None) -> dict[str, str]:
    """File name -> JSON text of every dashboard, in the classic model of Grafana 10.

    `datasource`: the name of the Prometheus data source that is chosen when a dashboard opens (another can be chosen
    there); None leaves it to Grafana's default data source.
    """
    if datasource is not None and not datasource.strip():
        raise UsageError("--datasource needs the name of a Prometheus data source, as Grafana shows it under Connections")
    texts = {}
    for file in sorted(shipped().iterdir(), key=lambda each: each.name):
        if file.name.endswith(".json"):
            text = file.read_text(encoding="utf-8")
            texts[file.name] = text if datasource is None else _choosing(text, datasource)
    return texts


def export(directory: Path, datasource: str | None = None) -> list[Path]:
    """Write every dashboard into a folder, made if need be, each whole or not at all; answers with the paths.

    Raises SettingsError when the folder cannot be written. Other files in it are left alone.
    """
    texts = read(datasource)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return [_write(directory, name, text) for name, text in texts.items()]
    except OSError as error:
        message = f"{directory}: cannot be written ({error.strerror}); give a folder that you may write to"
        raise SettingsError(message) from error


def _choosing(text: str, datasource: str) -> str:
    dashboard = json.loads(text)
    for variable in dashboard["templating"]["list"]:
        if variable["name"] == _DATA_SOURCE:
            variable["current"] = {"selected": True, "text": datasource, "value": datasource}
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _write(directory: Path, name: str, text: str) -> Path:
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).chmod(0o644)
    return Path(temporary).replace(directory / name)
