"""The fake provider as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import openai

from costspan.demo.provider import ProviderProcess
from costspan.testing import Reply, Usage, billed


def test_it_answers_keeps_its_log_and_ends(tmp_path):
    with ProviderProcess(seed=3, log_file=tmp_path / "log.jsonl") as provider:
        provider.script(Reply(usage=Usage(input_tokens=10, output_tokens=5)), agent="PM")
        client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "[[agent:PM]] hello"}])
        log = provider.log
    assert billed(log)["PM"].total_tokens == 15
    assert json.loads((tmp_path / "log.jsonl").read_text())["response_id"] == log[0].response_id


def test_it_ends_when_its_standard_input_closes():
    command = [sys.executable, "-m", "costspan.demo.provider"]
    finished = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert finished.stdout.strip().isdigit()


def test_it_writes_its_port_to_a_file_if_asked(tmp_path):
    command = [sys.executable, "-m", "costspan.demo.provider", "--port-file", str(tmp_path / "port")]
    finished = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert (tmp_path / "port").read_text() == finished.stdout.strip()
