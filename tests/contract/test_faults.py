"""Whatever of ours fails, the host never notices: each function of the instrumentation is made to raise, one after another."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from types import FunctionType

import pytest

from costspan import guard
from costspan.testing import measure
from sdk_hosts import body, events, http, outcome, streamed

MODULES = ("sdk_hooks", "sdk_calls", "stream", "openai", "anthropic", "answer", "request_shape", "spans")
KINDS = ("openai", "openai-async", "anthropic")
PASSAGES = {"SyncReader", "AsyncReader", "SyncBody", "AsyncBody", "_Proxy"}
"""Classes whose methods are the host's own way through: they call what the host called, and ours only behind a guard."""


class Sabotage(Exception):
    pass


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


def functions():
    """(module, class or None, name) of everything of ours that runs beside the host."""
    for module in MODULES:
        loaded = importlib.import_module(f"costspan.instrument.{module}")
        for name, value in vars(loaded).items():
            if getattr(value, "__module__", None) != loaded.__name__:
                continue
            if inspect.isclass(value) and name not in PASSAGES:
                for method, inner in vars(value).items():
                    if isinstance(inner, (FunctionType, staticmethod)) and not method.startswith("__"):
                        yield module, name, method
            elif isinstance(value, FunctionType) and not name.startswith("wrap_"):
                yield module, None, name
    for name in ("_self_part", "_self_ended"):
        yield "stream", "_Body", name


ALL = sorted(set(functions()), key=str)
_HIT: set[str] = set()


def sabotage(monkeypatch, module, owner, name):
    """Replace a function by one that raises, behind the guard that it had, wherever it is known by name."""
    home = importlib.import_module(f"costspan.instrument.{module}")
    place = home if owner is None else getattr(home, owner)
    was = vars(place)[name]

    def broken(*args, **kwargs):
        _HIT.add(f"{module}.{owner}.{name}")
        raise Sabotage(name)

    plain = was.__func__ if isinstance(was, staticmethod) else was
    behind_guard = plain.__code__.co_filename.endswith("guard.py")
    replacement = guard.guarded("sabotage")(broken) if behind_guard else broken
    if owner is not None:
        monkeypatch.setattr(place, name, staticmethod(replacement) if isinstance(was, staticmethod) else replacement)
        return
    for other in MODULES:
        loaded = importlib.import_module(f"costspan.instrument.{other}")
        if vars(loaded).get(name) is was:
            monkeypatch.setattr(loaded, name, replacement)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("module", "owner", "name"), ALL, ids=lambda part: str(part))
def test_a_fault_of_ours_never_reaches_the_host(module, owner, name, kind, caplog):
    expected = bare(kind)
    with measure(), pytest.MonkeyPatch.context() as patched:
        guard.raise_in_tests(False)
        sabotage(patched, module, owner, name)
        found = outcome(everything, kind)
    assert found == expected
    ours = {"costspan"}
    assert {record.name for record in caplog.records if record.levelno >= logging.WARNING} <= ours


def test_the_faults_were_real():
    never = {f"{module}.{owner}.{name}" for module, owner, name in ALL} - _HIT
    assert len(_HIT) >= 45, sorted(never)
