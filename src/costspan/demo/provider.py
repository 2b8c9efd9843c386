"""A model provider on loopback: speaks OpenAI's, Anthropic's and Gemini's APIs, answers from a seed or a script, keeps a log.

In a thread (tests): `with FakeProvider(seed=1) as provider: …`. In a process of its own (the demo):
`with ProviderProcess(seed=1) as provider: …`, or by hand `python -m costspan.demo.provider --seed 1 --log FILE`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from costspan.demo import provider_log, replies
from costspan.demo.desk import Desk
from costspan.demo.http import Server
from costspan.errors import CostspanError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from costspan.demo.provider_log import Entry
    from costspan.demo.replies import Reply


class Addresses:
    """Where a provider's APIs are, for the clients' settings."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """`base_url` of an OpenAI client."""
        return f"{self.url}/v1"

    @property
    def gateway_url(self) -> str:
        """`base_url` of an OpenAI client that talks to a gateway which knows no `stream_options`: streams tell no usage."""
        return f"{self.url}/gateway/v1"

    @property
    def anthropic_url(self) -> str:
        """`base_url` of an Anthropic client."""
        return self.url

    @property
    def gemini_url(self) -> str:
        """`base_url` in the HttpOptions of a google-genai client, or of ADK's `Gemini`."""
        return self.url

    @property
    def vertex_url(self) -> str:
        """`base_url` of an AnthropicVertex client."""
        return f"{self.url}/v1"

    @property
    def bedrock_url(self) -> str:
        """`base_url` of an AnthropicBedrock client."""
        return self.url

    @property
    def azure_url(self) -> str:
        """`azure_endpoint` of an AzureOpenAI client."""
        return self.url


class FakeProvider(Addresses):
    """The provider in a thread of this process, between `start()` and `stop()` or as a context manager."""

    def __init__(
        self, seed: int = 0, *, log_file: Path | None = None, scripts: Mapping[str, Sequence[Reply]] | None = None
    ) -> None:
        self._desk = Desk(seed, log_file)
        self._server = Server(self._desk)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fake-provider", daemon=True)
        for agent, given in (scripts or {}).items():
            self.script(*given, agent=agent)

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def script(self, *given: Reply, agent: str | None = None) -> None:
        """Queue replies, one per request (retries are requests too), for one agent or for anybody."""
        self._desk.scripts.add(given, agent)

    def always(self, reply: Reply, agent: str | None = None) -> None:
        """The reply to give whenever no queue has one."""
        self._desk.scripts.always(reply, agent)

    @property
    def waiting(self) -> int:
        """Scripted replies that nobody has asked for yet."""
        return self._desk.scripts.waiting()

    @property
    def asked(self) -> int:
        """How many requests have come so far, ended or not."""
        return len(self._desk.book)

    @property
    def log(self) -> list[Entry]:
        """Every request so far, in order of arrival; waits up to 5 s for requests in flight to end."""
        return self._desk.book.entries()

    def clear(self) -> None:
        """Forget the log and the scripts, not what was seen of conversations."""
        self._desk.book.clear()
        self._desk.scripts.clear()


class ProviderProcess(Addresses):
    """The same provider in a process of its own; it ends when this one does, however that ends."""

    def __init__(self, seed: int = 0, *, log_file: Path | None = None) -> None:
        command = [sys.executable, "-m", "costspan.demo.provider", "--seed", str(seed)]
        self._command = command if log_file is None else [*command, "--log", str(log_file)]

    def __enter__(self) -> Self:
        # A session of its own: Ctrl-C is for who started it, and closes this process's standard input soon enough.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.strip().isdigit():
            self._process.wait(5)
            message = f"the demo's provider did not start: run {' '.join(self._command)} to see why"
            raise CostspanError(message)
        self.port = int(line)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate(timeout=10)

    def script(self, *given: Reply, agent: str | None = None) -> None:
        """As `FakeProvider.script`."""
        self._ask("/_fake/script", {"agent": agent, "replies": [replies.to_json(reply) for reply in given]})

    @property
    def log(self) -> list[Entry]:
        """As `FakeProvider.log`."""
        return [provider_log.from_json(entry) for entry in self._ask("/_fake/log", None)]

    def _ask(self, path: str, body: object) -> Any:
        """Talk to the process itself, past any proxy that the environment names."""
        data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.url + path, data), timeout=10) as answer:
            return json.load(answer)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until standard input closes (so that no provider outlives who started it) or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m costspan.demo.provider", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="append a line of JSON per request")
    parser.add_argument("--port-file", type=Path, help="write the port here as well as to standard output")
    options = parser.parse_args(arguments)
    with FakeProvider(options.seed, log_file=options.log) as provider:
        if options.port_file:
            waiting = options.port_file.with_suffix(".new")
            waiting.write_text(str(provider.port), encoding="utf-8")
            waiting.replace(options.port_file)
        sys.stdout.write(f"{provider.port}\n")
        sys.stdout.flush()
        try:
            while sys.stdin.readline():
                pass
        except KeyboardInterrupt:
            pass  # a way to end it by hand


if __name__ == "__main__":
    main()
