"""However a stream ends, its span ends exactly once, with the right outcome, and the host's response is closed as before."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from costspan.testing import measure
from sdk_cases import collect, open_units
from sdk_hosts import KINDS, Host, events, http, streamed

HALF = 3


class Ends(SpanProcessor):
    def __init__(self):
        self.ended = []

    def on_end(self, span):
        self.ended.append(span)


async def completed(host, stream):
    await host.drain(stream)


async def left_early(host, stream):
    await host.drain(stream, HALF)


async def closed(host, stream):
    await host.next(stream)
    await host.close(stream)


async def closed_twice_and_read_on(host, stream):
    await host.next(stream)
    await host.close(stream)
    await host.close(stream)
    await host.drain(stream)


async def left_by_its_context(host, stream):
    if host.asynchronous:
        async with stream:
            await host.next(stream)
    else:
        with stream:
            await host.next(stream)


async def an_error_of_the_host(host, stream):
    await host.next(stream)
    with pytest.raises(ZeroDivisionError):
        await _fail_inside(host, stream)


async def _fail_inside(host, stream):
    if host.asynchronous:
        async with stream:
            raise ZeroDivisionError
    with stream:
        raise ZeroDivisionError


async def never_read(host, stream):
    pass


async def dropped(host, stream):
    await host.next(stream)


async def read_past_the_sdk(host, stream):
    response = stream.response
    await host.drain(response.aiter_lines() if host.asynchronous else response.iter_lines())


async def closed_by_another(host, stream):
    await host.next(stream)
    if host.asynchronous:
        await asyncio.gather(stream.close(), stream.close())
    else:
        threads = [threading.Thread(target=stream.close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


async def cancelled(host, stream):
    if not host.asynchronous:
        with pytest.raises(KeyboardInterrupt):
            await host.drain(stream)
        return
    task = asyncio.create_task(host.drain(stream))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cut(host, stream):
    with pytest.raises((http.RemoteProtocolError, host.library.APIConnectionError)):
        await host.drain(stream)


ENDINGS = {
    completed: "ok",
    left_early: "cancelled",
    closed: "cancelled",
    closed_twice_and_read_on: "cancelled",
    left_by_its_context: "cancelled",
    an_error_of_the_host: "cancelled",
    never_read: "cancelled",
    dropped: "cancelled",
    read_past_the_sdk: "ok",
    closed_by_another: "cancelled",
    cancelled: "cancelled",
    cut: "error",
}

pytestmark = pytest.mark.usefixtures("quick_collections")


def test_there_are_twelve_endings():
    assert len(ENDINGS) == 12


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_the_span_ends_exactly_once(kind, ending, caplog):
    caplog.set_level(logging.WARNING)
    ends = Ends()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(ends)

    async def run():
        host = Host(kind)
        pieces = events(host.sdk)
        if ending is cut:
            pieces = [*pieces[:HALF], http.RemoteProtocolError("cut")]
        if ending is cancelled and not host.asynchronous:
            pieces = [*pieces[:HALF], KeyboardInterrupt()]
        host.answers = [streamed(pieces, pause=0.05 if ending is cancelled else 0.0)]
        stream = await host.stream()
        body = host.given[0].stream
        await ending(host, stream)
        del stream, body, host.given[:]
        host.answers.clear()
        await host.finish()

    with measure(tracer_provider=provider) as seen:
        asyncio.run(run())
        collect()
        assert not open_units()
        assert len(ends.ended) == 1
        assert seen.metric("costspan_calls_total", outcome=ENDINGS[ending]) == 1
        assert seen.metric("costspan_calls_total") == 1
        assert seen.tokens() == (18 if ending in {completed, read_past_the_sdk} else seen.tokens("input"))
    assert len(ends.ended) == 1
    assert not [record.getMessage() for record in caplog.records if "span" in record.getMessage()]
