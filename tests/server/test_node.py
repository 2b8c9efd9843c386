"""A program in another language: OpenAI's client in Node.js, traced and exported by OpenTelemetry's packages of npm."""

from __future__ import annotations

import os
import subprocess

import pytest

from node_packages import NODE, PROGRAMS, packages
from real_programs import require
from serve_parts import serving


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", ["http", "http-gzip", "proto", "grpc"])
def test_the_exporters_of_npm_bring_what_the_provider_billed(protocol, tmp_path, provider):
    node, modules = require("node", "nodejs", install=NODE), packages()
    with serving(tmp_path / "history.db") as server:
        address = f"http://{server.grpc}" if protocol == "grpc" else server.otlp
        program = subprocess.run(
            [node, str(PROGRAMS / "agent.js"), provider.openai_url, protocol, address],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "NODE_PATH": str(modules)},
            check=False,
        )
        assert program.returncode == 0, program.stderr
        server.settled()
        billed = [entry.usage for entry in provider.log]
        total = server.total()
        assert total.calls == len(billed) == 6
        assert total.input_tokens == sum(usage.input_tokens for usage in billed)
        assert total.output_tokens == sum(usage.output_tokens for usage in billed)
        assert total.priced_calls == 6
        (run,) = server.runs()
        assert (run.workflow, run.service, run.outcome) == ("planner", "node-shop", "ok")
        assert run.sums == total
