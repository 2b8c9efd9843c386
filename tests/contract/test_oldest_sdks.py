"""The same contract with the oldest versions of the SDKs that are supported, in an environment of their own."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLDEST = ("openai==1.60.0", "anthropic==0.45.0")
BESIDES = (
    "opentelemetry-sdk==1.34.0",
    "opentelemetry-exporter-otlp==1.34.0",
    "opentelemetry-instrumentation-threading==0.55b0",
    "prometheus-client==0.21.0",
    "genai-prices>=0.2.3,<0.3",
    "rich>=13.7",
    "typer>=0.15",
    "zstandard>=0.23",
    "boto3>=1.34",
    "pytest>=8",
    "pytest-asyncio>=0.24",
    "pytest-timeout>=2.3",
)
"""What costspan itself and its tests need, as old as it may be where a change could matter here."""
FILES = (
    "tests/contract/test_sdks.py",
    "tests/contract/test_stream_endings.py",
    "tests/instrument/test_openai.py",
    "tests/instrument/test_anthropic.py",
)
TOO_SLOW = "not fifty and not threads and not cancelled and not timed_out and not raises and not (status and is)"
IN_CI = bool(os.environ.get("CI"))


def uv():
    found = shutil.which("uv")
    if found:
        return [found]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else None


def environment():
    """The Python of the environment, made on first use and kept."""
    command = uv()
    wanted = (*OLDEST, *BESIDES, sys.version)
    name = f"oldest-sdks-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:12]}"
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "costspan" / "venvs" / name
    python = place / "bin" / "python"
    if (place / "complete").exists():
        return python
    line = f"uv venv {place} && uv pip install --python {python} {' '.join(OLDEST)} …"
    if command is None:
        pytest.skip(f"uv is not installed; with it, this test runs: {line}")
    shutil.rmtree(place, ignore_errors=True)
    making = [*command, "venv", "-q", "--python", sys.executable, str(place)]
    filling = [*command, "pip", "install", "-q", "--python", str(python), *OLDEST, *BESIDES]
    for step in (making, filling):
        done = subprocess.run(step, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            complaint = f"the environment could not be made ({done.stderr.strip()[-200:]}); by hand: {line}"
            (pytest.fail if IN_CI else pytest.skip)(complaint)
    (place / "complete").touch()
    return python


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_the_oldest_sdks_keep_the_contract():
    python = environment()
    command = [str(python), "-m", "pytest", *FILES, "-q", "-x", "-p", "no:cacheprovider", "-k", TOO_SLOW]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHONDONT"))}
    env = {**clean, "PYTHONPATH": str(ROOT / "src"), "PYTHONPYCACHEPREFIX": str(python.parents[1] / "pycache")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = int(done.stdout.rsplit(" passed", 1)[0].rsplit(None, 1)[-1].strip("="))
    assert passed >= 500
