from __future__ import annotations

import shutil
from importlib.resources import files

import pytest

from costspan.report.page import vendoring

FOLDER = files("costspan.report.page").joinpath("vendor")


def test_no_vendored_file_was_changed_by_hand():
    assert vendoring.changed() == []
    assert vendoring.main([]) == 0


def test_every_vendored_file_is_told_of_with_its_licence():
    told = {item["file"] for item in vendoring.told()} | {item["licence_file"] for item in vendoring.told()}
    assert {entry.name for entry in FOLDER.iterdir()} == told | {"vendor.json"}


@pytest.mark.parametrize("item", vendoring.told(), ids=lambda item: item["file"])
def test_a_library_says_the_version_that_is_told(item):
    others = [FOLDER.joinpath(other["file"]).read_text() for other in vendoring.told() if other["package"] == item["package"]]
    assert any(item["version"] in text for text in others)


def test_a_newer_release_is_taken_over_with_its_checksum(tmp_path, monkeypatch):
    folder, packages = tmp_path / "vendor", tmp_path / "packages"
    shutil.copytree(str(FOLDER), folder)
    monkeypatch.setattr(vendoring, "_folder", lambda: folder)
    for item in vendoring.told():
        path = packages / item["package"] / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("newer")
        (packages / item["package"] / "LICENSE").write_text("free")
        (packages / item["package"] / "package.json").write_text('{"version": "99.0.0"}')
    assert vendoring.main([str(packages)]) == 0
    assert {item["version"] for item in vendoring.told()} == {"99.0.0"}
    (folder / "htmx.min.js").write_text("changed by hand")
    assert vendoring.main([]) == 1
