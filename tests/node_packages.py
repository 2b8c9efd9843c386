"""Packages of npm for tests of Node.js programs: installed once a machine, cached by what is asked for."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from real_programs import CACHE, missing, require

PROGRAMS = Path(__file__).parent / "node"
NODE = "apt-get install nodejs npm, or https://nodejs.org (18 or newer)"
SECONDS = 240


def packages() -> Path:
    """The `node_modules` with everything that `tests/node/package.json` names."""
    npm = require("npm", install=NODE)
    wanted = (PROGRAMS / "package.json").read_bytes()
    home = CACHE / "npm" / hashlib.sha256(wanted).hexdigest()[:12]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # pytest-xdist: one worker installs, the others wait
        if not (home / "ready").exists():
            shutil.rmtree(home / "node_modules", ignore_errors=True)
            (home / "package.json").write_bytes(wanted)
            words = [npm, "install", "--prefix", str(home), "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode:
                missing(f"what tests/node/package.json names ({done.stderr.strip()[-500:]})", " ".join(words))
            (home / "ready").touch()
    return home / "node_modules"
