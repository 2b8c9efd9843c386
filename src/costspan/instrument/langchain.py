"""LangChain and LangGraph: a callback handler that is part of every run, without touching the user's code.

The handler is switched on through LangChain's own configure hook (nothing is patched for that), is plain
(`run_inline=True`: in async code it runs where the work runs, never in an executor) and keeps one small entry per open run.
Callbacks only open and close spans with explicit parents; they never attach context, because a context attached in a
callback stays current after `ainvoke` and streams. Attaching is done in `langchain_context.py`, in scopes that also detach.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import langchain_core.tracers.context as _tracers
from langchain_core.callbacks import BaseCallbackHandler

from costspan import conventions as c
from costspan import guard
from costspan.instrument import answer, langchain_answer, langchain_context, langchain_names
from costspan.instrument.heard import Heard, of_messages
from costspan.instrument.langchain_entry import Entry, context_inside, unit_around
from costspan.instrument.patch import Patches
from costspan.instrument.request_hash import message_hash
from costspan.instrument.spans import SWITCH
from costspan.records import AGENT, CALL, MISSING, RUN, TOOL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from opentelemetry.context import Context

    from costspan.instrument.spans import Spans

ENTRIES_MAX: Final = 50_000
"""Open runs that are tracked; beyond it the oldest is ended as abandoned."""


class Handler(BaseCallbackHandler):
    """Turns LangChain's callbacks into units. Every method is guarded; none returns anything."""

    run_inline = True
    raise_error = False
    # Plain values: LangChain asks for them at every event, so at every chunk of a stream, and has properties for them.
    ignore_llm = False
    ignore_chain = False
    ignore_chat_model = False
    ignore_retriever = False

    def __init__(self) -> None:
        self.entries: dict[UUID, Entry] = {}

    # LangChain deep-copies configs and callback lists in places; there is one handler per process.
    def __copy__(self) -> Handler:
        return self

    def __deepcopy__(self, memo: object) -> Handler:
        return self

    # --- the tree -----------------------------------------------------------------------------------
    def _parent(self, parent_run_id: UUID | None) -> Entry | None:
        return self.entries.get(parent_run_id) if parent_run_id is not None else None

    def _remember(self, run_id: UUID, entry: Entry) -> None:
        entries = self.entries
        if len(entries) >= ENTRIES_MAX:
            oldest = next(iter(entries))
            self._close(oldest, None, None)
        entries[run_id] = entry

    def _materialise(self, entry: Entry | None, spans: Spans) -> Context | None:
        """The context inside `entry`; a named chain gets its step span now that something happens in it."""
        if entry is None:
            return None
        if entry.unit is None and entry.lazy is not None:
            kind, name = entry.lazy
            entry.unit = spans.open(kind, name, context=self._outside(entry, spans), started_ns=entry.started_ns)
        if entry.unit is not None:
            return entry.unit.context
        return self._outside(entry, spans)

    def _outside(self, entry: Entry, spans: Spans) -> Context | None:
        """The context that `entry` began in."""
        return entry.around if entry.around is not None else self._materialise(entry.parent, spans)

    def context_of(self, run_id: UUID | None) -> Context | None:
        """The Context that a run's own code should see; None when the run is unknown."""
        return context_inside(self._parent(run_id))

    def asked(self, run_id: UUID | None) -> Context | None:
        """The same for a call whose model is asked now."""
        entry = self._parent(run_id)
        if entry is None or entry.unit is None:
            return None
        entry.asked = True
        return entry.unit.context

    def _open(self, entry: Entry, kind: str, name: str | None, attributes: dict[str, Any]) -> None:
        spans = SWITCH.spans
        if spans is None or entry.run_id is None:
            return
        entry.unit = spans.open(
            kind, name, context=self._outside(entry, spans), attributes=attributes, started_ns=entry.started_ns
        )
        self._remember(entry.run_id, entry)

    def _close(self, run_id: UUID, attributes: dict[str, Any] | None, error: BaseException | None) -> None:
        entry = self.entries.pop(run_id, None)
        if entry is None or entry.unit is None:
            return
        spans = SWITCH.spans
        if spans is None:
            return  # `disable()` ends what is open
        if error is not None and langchain_names.is_control_flow(error):
            error = None
        if entry.unit.told is not None:
            attributes = answer.with_deposits(entry.unit, attributes or {})
        if entry.heard is not None and (error is None or entry.first_token_ns):
            attributes = attributes if attributes is not None else {}
            entry.heard.complete(attributes, model=entry.unit.name, whole=error is None)
        spans.close(entry.unit, attributes, error=error)

    # --- chains, graphs, nodes -----------------------------------------------------------------------
    @guard.guarded("langchain.on_chain_start")
    def on_chain_start(  # noqa: PLR0913 - LangChain's signature
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if SWITCH.spans is None:
            return
        entry = Entry(run_id, self._parent(parent_run_id))
        entry.started_ns = time.time_ns()
        told = metadata or {}
        agents = langchain_names.named_agent(told), entry.named
        entry.named = agents[0] or agents[1]
        what = langchain_names.chain(name, told, tags or (), unit_around(entry), entry.parent is None, agents)
        if what is None:
            self._remember(run_id, entry)
        elif what.lazy:
            entry.lazy = (what.kind, what.name)
            self._remember(run_id, entry)
        else:
            self._open(entry, what.kind, what.name, _conversation(told) if what.kind in {RUN, AGENT} else {})
            if what.kind != AGENT and entry.unit is not None:
                acting = langchain_names.agent_of(told, entry.unit)
                if acting:
                    entry.unit.act_as(acting)

    @guard.guarded("langchain.on_chain_end")
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._close(run_id, None, None)

    @guard.guarded("langchain.on_chain_error")
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._close(run_id, None, error)

    # --- tools and retrievers ------------------------------------------------------------------------
    @guard.guarded("langchain.on_tool_start")
    def on_tool_start(
        self, serialized: dict[str, Any] | None, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None,
        name: str | None = None, tool_call_id: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        entry = Entry(run_id, self._parent(parent_run_id))
        attributes: dict[str, Any] = {c.TOOL_TYPE: "function"}
        if tool_call_id:
            attributes[c.TOOL_CALL_ID] = tool_call_id
        # The name as written in code: a run's free name (`run_name`) may hold anything.
        self._open(entry, TOOL, str((serialized or {}).get("name") or name or "tool"), attributes)

    @guard.guarded("langchain.on_tool_end")
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        failed = getattr(output, "status", None) == "error"
        self._close(run_id, {c.ERROR_TYPE: "tool_error"} if failed else None, None)

    @guard.guarded("langchain.on_tool_error")
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._close(run_id, None, error)

    @guard.guarded("langchain.on_retriever_start")
    def on_retriever_start(
        self, serialized: dict[str, Any] | None, query: str, *, run_id: UUID, parent_run_id: UUID | None = None,
        name: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        entry = Entry(run_id, self._parent(parent_run_id))
        attributes: dict[str, Any] = {c.TOOL_TYPE: "datastore", c.OPERATION_NAME: c.RETRIEVAL}
        self._open(entry, TOOL, langchain_names.class_name(serialized) or name or "retriever", attributes)

    @guard.guarded("langchain.on_retriever_end")
    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._close(run_id, None, None)

    @guard.guarded("langchain.on_retriever_error")
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._close(run_id, None, error)

    # --- model calls ---------------------------------------------------------------------------------
    @guard.guarded("langchain.on_chat_model_start")
    def on_chat_model_start(
        self, serialized: dict[str, Any] | None, messages: Sequence[Sequence[Any]], *, run_id: UUID,
        parent_run_id: UUID | None = None, metadata: dict[str, Any] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        attributes = self._call_attributes(c.CHAT, metadata or {}, serialized, kwargs)
        lengths = langchain_answer.lengths(messages[0]) if messages else None
        if lengths:
            attributes[c.REQUEST_LENGTHS] = lengths
        said = message_hash(attributes.get(c.REQUEST_MODEL), messages[0]) if messages else None
        if said:
            attributes[c.REQUEST_HASH] = said
        self._open_call(run_id, parent_run_id, metadata or {}, attributes)
        if SWITCH.estimate and run_id in self.entries:
            self.entries[run_id].heard = of_messages(messages[0] if messages else (), kwargs.get("invocation_params"))

    @guard.guarded("langchain.on_llm_start")
    def on_llm_start(
        self, serialized: dict[str, Any] | None, prompts: Sequence[str], *, run_id: UUID,
        parent_run_id: UUID | None = None, metadata: dict[str, Any] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        attributes = self._call_attributes(c.TEXT_COMPLETION, metadata or {}, serialized, kwargs)
        self._open_call(run_id, parent_run_id, metadata or {}, attributes)
        if SWITCH.estimate and run_id in self.entries:
            self.entries[run_id].heard = heard = Heard()
            heard.request({"prompt": list(prompts)})

    @staticmethod
    def _call_attributes(
        operation: str, metadata: dict[str, Any], serialized: dict[str, Any] | None, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        provider, model = langchain_names.model(metadata, serialized, kwargs.get("invocation_params"))
        attributes: dict[str, Any] = {c.OPERATION_NAME: operation, c.PROVIDER_NAME: provider or "unknown"}
        if model:
            attributes[c.REQUEST_MODEL] = model
        attributes.update(_conversation(metadata))
        return attributes

    def _open_call(self, run_id: UUID, parent_run_id: UUID | None, metadata: dict[str, Any], attributes: dict[str, Any]) -> None:
        spans = SWITCH.spans
        if spans is None:
            return
        entry = Entry(run_id, self._parent(parent_run_id))
        around = self._outside(entry, spans)
        unit = unit_around(entry)
        if unit is None or unit.owner.agent is None:
            agent = langchain_names.agent_of(metadata, unit)
            if agent:
                attributes[c.AGENT_NAME] = agent
        model = attributes.get(c.REQUEST_MODEL)
        entry.unit = spans.open(CALL, model, context=around, attributes=attributes)
        entry.unit.told = []
        self._remember(run_id, entry)
        langchain_context.note_start(run_id)
        langchain_context.enter_stream(entry.unit)

    @guard.guarded("langchain.on_llm_new_token")
    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note when the first chunk came. Later ones matter only to estimates, and seldom come here (see `langchain_context`)."""
        entry = self.entries.get(run_id)
        if entry is None:
            return
        if not entry.first_token_ns:
            entry.first_token_ns = time.time_ns()
        if entry.heard is not None:
            entry.heard.said(token)

    @guard.guarded("langchain.on_stream_event")
    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """The same for LangChain's typed stream events."""
        entry = self.entries.get(run_id)
        if entry is not None and not entry.first_token_ns:
            entry.first_token_ns = time.time_ns()

    @guard.guarded("langchain.on_llm_end")
    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        entry = self.entries.get(run_id)
        if entry is not None:
            if entry.heard is not None:
                entry.heard.result(response)
            self._close(run_id, self._stream_attributes(entry) | langchain_answer.attributes(response), None)

    @guard.guarded("langchain.on_llm_error")
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        entry = self.entries.get(run_id)
        if entry is not None:
            found = langchain_answer.after_error(kwargs.get("response"), error, streamed=bool(entry.first_token_ns))
            self._close(run_id, self._stream_attributes(entry) | found, error)

    @guard.guarded("langchain.left_open")
    def left_open(self, run_id: UUID, error: BaseException) -> None:
        """A call that LangChain goes away from without telling its end: another one of several prompts failed, or a callback
        of the host's. What it was told counts; a call whose model was not asked yet costs nothing."""
        entry = self.entries.get(run_id)
        if entry is None or entry.unit is None:
            return
        if not (entry.asked or entry.first_token_ns or entry.unit.told):
            self._close(run_id, {c.MISSING_REASON: c.NOT_SENT}, GeneratorExit())
            return
        found = self._stream_attributes(entry) | answer.with_deposits(entry.unit, {})
        if found.get(c.USAGE_SOURCE, MISSING) != MISSING:
            self._close(run_id, found, None)
        else:
            self._close(run_id, found | langchain_answer.after_error(None, error, streamed=bool(entry.first_token_ns)), error)

    @staticmethod
    def _stream_attributes(entry: Entry) -> dict[str, Any]:
        if not entry.first_token_ns or entry.unit is None:
            return {}
        waited = max(0, entry.first_token_ns - entry.unit.started_ns) / 1e9
        return {c.REQUEST_STREAM: True, c.TIME_TO_FIRST_CHUNK: waited}

    def close_all(self) -> None:
        """End what is still open (the process ends, or costspan is switched off)."""
        for run_id in list(self.entries)[::-1]:
            self._close(run_id, None, None)


def _conversation(metadata: dict[str, Any]) -> dict[str, Any]:
    found = metadata.get("thread_id") or metadata.get("session_id") or metadata.get("conversation_id")
    return {c.CONVERSATION_ID: str(found)} if found else {}


class LangChain:
    """The adapter: switches the handler on for every run of this process, and off again."""

    def __init__(self) -> None:
        self.handler = Handler()
        self._variable: ContextVar[Handler | None] = ContextVar("costspan.langchain", default=self.handler)
        self._patches = Patches()

    def switch_on(self) -> None:
        _tracers.register_configure_hook(self._variable, inheritable=True)
        self._patches.apply(langchain_context.points(self.handler))
        self._patches.apply(langchain_names.points())

    def switch_off(self) -> None:
        self._patches.undo()
        hooks = _tracers._configure_hooks  # noqa: SLF001 - LangChain has no way to unregister
        hooks[:] = [hook for hook in hooks if hook[0] is not self._variable]
        self.handler.close_all()


def adapter() -> LangChain:
    """What the registry asks every framework file for."""
    return LangChain()
