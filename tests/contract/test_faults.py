"""Whatever of ours fails, the host never notices: each function of the instrumentation is made to raise, one after another."""

from __future__ import annotations

import functools
import logging

import pytest

from costspan import guard
from costspan.testing import measure
from fault_injection import HIT, functions_of, sabotage
from sdk_hosts import body, events, http, outcome, streamed

MODULES = ("sdk_hooks", "sdk_calls", "stream", "unsent", "openai", "anthropic", "answer", "request_shape", "spans")
KINDS = ("openai", "openai-async", "anthropic")


async def everything(host):
    """A bit of everything that a program does with a client."""
    found = []
    host.answers = [body(host.sdk)]
    found += [await host.create(), await host.create(tools=[], extra_headers={"X-A": "1"})]
    raw = await host.raw()
    found += [await host.value(raw.parse()), raw.http_response.is_closed]
    host.answers = [lambda: streamed(events(host.sdk))]
    found.append(await host.drain(await host.stream()))
    found.append(await host.drain(await host.value((await host.raw(stream=True)).parse())))
    left = await host.stream()
    found += [await host.drain(left, 2), await host.close(left), left.response.is_closed]
    lines = (await host.raw(stream=True)).http_response
    found.append(await host.drain(lines.aiter_lines() if host.asynchronous else lines.iter_lines()))
    host.answers = [lambda: http.Response(429, json={"error": {"message": "no"}}, headers={"retry-after-ms": "1"})]
    for client in (host.client, host.client.with_options(max_retries=1)):
        try:
            await host.create(client=client)
        except host.library.RateLimitError as error:
            found.append(str(error))
    host.answers = [lambda: streamed([*events(host.sdk)[:2], http.ReadError("cut")])]
    try:
        await host.drain(await host.stream())
    except Exception as error:
        found.append(type(error).__name__)
    return found


@functools.cache
def bare(kind):
    return outcome(everything, kind)


ALL = functions_of(MODULES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("module", "owner", "name"), ALL, ids=str)
def test_a_fault_of_ours_never_reaches_the_host(module, owner, name, kind, caplog):
    expected = bare(kind)
    with measure(), pytest.MonkeyPatch.context() as patched:
        guard.raise_in_tests(False)
        sabotage(patched, MODULES, module, owner, name)
        found = outcome(everything, kind)
    assert found == expected
    ours = {"costspan"}
    assert {record.name for record in caplog.records if record.levelno >= logging.WARNING} <= ours


def test_the_faults_were_real():
    never = {f"{module}.{owner}.{name}" for module, owner, name in ALL} - HIT
    assert len(HIT) >= 45, sorted(never)
