"""What `import costspan` costs over the SDK's own import, what it loads, and what a warm price costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

HEAVY = (
    "langchain_core", "langgraph", "crewai", "openai", "anthropic", "starlette", "uvicorn", "rich", "typer",
    "genai_prices", "opentelemetry.exporter", "prometheus_client", "grpc", "requests",
)  # fmt: skip
"""What must not load with `import costspan`: frameworks, the server, rich, typer, exporters, the price table."""

_IMPORT = """
import json, sys, time
import opentelemetry.sdk.trace, opentelemetry.sdk.metrics
before = set(sys.modules)
began = time.process_time()
import costspan
spent = time.process_time() - began
modules = sorted(set(sys.modules) - before)
began = time.process_time()
costspan.enable(instrument=False, summary=False, metrics="none")
print(json.dumps({"ms": spent * 1000, "modules": modules, "enable_ms": (time.process_time() - began) * 1000}))
"""
_PRICE = """
import json, time, timeit
from costspan.price.book import PriceBook
from costspan.records import Usage
book, now = PriceBook(), time.time_ns()
def took(usage):
    def price(): return book.price(usage, provider="openai", model="gpt-4o-2024-08-06", at_ns=now)
    assert price().amount_usd is not None
    return min(timeit.repeat(price, number=20_000, repeat=7, timer=time.process_time)) / 20_000 * 1e6
print(json.dumps({"flat": took(Usage(1000, 200)), "cached": took(Usage(1000, 200, 600, 0, None, 150))}))
"""


def _run(program: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(times: int) -> dict[str, Any]:
    """Medians over fresh processes, the files' bytecode warm."""
    _run(_IMPORT)
    imports = [_run(_IMPORT) for _ in range(times)]
    loaded, prices = imports[0]["modules"], _run(_PRICE)
    return {
        "import_ms": statistics.median(one["ms"] for one in imports),
        "enable_ms": statistics.median(one["enable_ms"] for one in imports),
        "modules": len(loaded),
        "heavy": [name for name in HEAVY if any(module == name or module.startswith(name + ".") for module in loaded)],
        "price_us": prices["flat"],
        "cached_price_us": prices["cached"],
    }


def text(start: dict[str, Any]) -> str:
    """The figures in two lines."""
    return (
        f"import costspan: {start['import_ms']:.0f} ms, {start['modules']} modules; enable(): {start['enable_ms']:.0f} ms\n"
        f"a warm price: {start['price_us']:.2f} us, with cache reads and reasoning {start['cached_price_us']:.2f} us"
    )
