"""The libraries of others that the pages load, as they came from the npm registry: `python -m costspan.report.page.vendoring`
says their versions and whether a file was changed; with the name of a folder of unpacked packages it takes newer ones over."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from costspan.report.page.templating import PACKAGE

FOLDER: Final = "vendor"
LIST: Final = "vendor.json"


def told() -> list[dict[str, str]]:
    """What `vendor.json` says: file, package, version, path in the package, licence, licence_file, sha256."""
    found: list[dict[str, str]] = json.loads(_folder().joinpath(LIST).read_text(encoding="utf-8"))
    return found


def changed() -> list[str]:
    """Files that are not what `vendor.json` says."""
    return [item["file"] for item in told() if _digest(_folder() / item["file"]) != item["sha256"]]


def take(packages: Path) -> None:
    """Copy the files from `packages/<package>`, unpacked as `npm pack` and `tar` leave them, and note what they are."""
    items = told()
    for item in items:
        root = packages / item["package"]
        item["version"] = json.loads((root / "package.json").read_text(encoding="utf-8"))["version"]
        shutil.copyfile(root / item["path"], _folder() / item["file"])
        shutil.copyfile(root / "LICENSE", _folder() / item["licence_file"])
        item["sha256"] = _digest(_folder() / item["file"])
    (_folder() / LIST).write_text(json.dumps(items, indent=2) + "\n", encoding="utf-8")


def _folder() -> Path:
    return Path(str(files(PACKAGE).joinpath(FOLDER)))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: list[str]) -> int:
    """1 where a file was changed."""
    if arguments:
        take(Path(arguments[0]))
    wrong = changed()
    for item in told():
        state = "CHANGED" if item["file"] in wrong else "as published"
        sys.stdout.write(f"{item['file']:20} {item['package']} {item['version']} ({item['licence']}): {state}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
