"""A job that lives for a moment: one model call, then its totals leave by the road that it is told.

Run by tests: python short_job.py PROVIDER_URL otlp | python short_job.py PROVIDER_URL FILE.prom
"""

from __future__ import annotations

import sys
from pathlib import Path

from langchain_openai import ChatOpenAI

import costspan
from costspan.expose.prometheus import write_textfile

url, road = sys.argv[1:]
measured = costspan.enable(summary=False, metrics="otlp" if road == "otlp" else "none")
with costspan.run("digest"):
    ChatOpenAI(model="gpt-4.1", base_url=url, api_key="none").invoke("[[agent:digest]] Summarise the day.")
if road != "otlp":
    write_textfile(measured.pipeline.meters, Path(road))
