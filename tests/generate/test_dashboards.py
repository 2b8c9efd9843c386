"""`costspan dashboards export`: from a checkout and from an installed wheel, for any data source."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from costspan.cli import build
from costspan.errors import SettingsError, UsageError
from costspan.generate import dashboards
from real_programs import ROOT

COMMITTED = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "grafana" / "dashboards").glob("*.json")}


def run(*arguments: str):
    return CliRunner().invoke(build(), ["dashboards", "export", *arguments])


def test_the_exported_files_are_the_committed_ones(tmp_path):
    done = run(str(tmp_path / "new" / "folder"))
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new" / "folder").iterdir()}
    assert done.exit_code == 0
    assert written == COMMITTED
    assert done.stdout.splitlines() == sorted(str(tmp_path / "new" / "folder" / name) for name in COMMITTED)


def test_a_named_data_source_is_chosen_and_nothing_else_changes(tmp_path):
    assert run(str(tmp_path), "--datasource", "Our Prometheus").exit_code == 0
    for name, text in COMMITTED.items():
        chosen, committed = json.loads((tmp_path / name).read_text(encoding="utf-8")), json.loads(text)
        source = chosen["templating"]["list"][0]
        assert source["current"] == {"selected": True, "text": "Our Prometheus", "value": "Our Prometheus"}
        source["current"] = committed["templating"]["list"][0]["current"]
        assert chosen == committed


def test_exporting_again_replaces_ours_and_leaves_other_files_alone(tmp_path):
    (tmp_path / "theirs.json").write_text("{}")
    (tmp_path / "costspan-agents.json").write_text("old")
    dashboards.export(tmp_path)
    assert (tmp_path / "theirs.json").read_text() == "{}"
    assert {path.name for path in tmp_path.iterdir()} == {*COMMITTED, "theirs.json"}
    assert (tmp_path / "costspan-agents.json").read_text(encoding="utf-8") == COMMITTED["costspan-agents.json"]


def test_a_folder_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot be written.*give a folder"):
        dashboards.export(tmp_path / "file")


def test_an_empty_data_source_says_what_to_give():
    with pytest.raises(UsageError, match="name of a Prometheus data source"):
        dashboards.read(" ")


def test_an_installed_wheel_exports_the_same_dashboards(tmp_path):
    build_wheel = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build_wheel, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import costspan.cli as cli; "
        "assert cli.__file__.startswith(sys.path[0]), cli.__file__; cli.main()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "site"), "dashboards", "export", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir()} == COMMITTED


def test_the_folder_of_the_checkout_is_found_without_an_installation():
    assert Path(str(dashboards.shipped())).resolve() == ROOT / "grafana" / "dashboards"
