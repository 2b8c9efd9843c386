"""Anthropic's message batches: many requests in one, done at once here, their results read later as lines of JSON."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from costspan.demo.paths import WIRES

if TYPE_CHECKING:
    from costspan.demo.desk import Desk, Job

PATH = "/messages/batches"


class Batches:
    """All batches of one provider. Usage counts as told when a batch's results are fetched."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._batches: dict[str, list[tuple[str, Job]]] = {}

    def create(self, body: dict[str, Any], path: str) -> dict[str, Any]:
        """Do what `POST …/messages/batches` asks for."""
        done = []
        for request in body["requests"]:
            job = self._desk.take(WIRES["/messages"], path, request["params"], batch=True)
            self._desk.book.end(job.entry)
            done.append((str(request["custom_id"]), job))
        with self._lock:
            name = f"msgbatch_{len(self._batches) + 1:06d}"
            self._batches[name] = done
        return self._describe(name, path)

    def get(self, path: str) -> dict[str, Any] | str | None:
        """What `GET …/messages/batches/ID` (an object) and `…/ID/results` (lines) answer; None where there is no such batch."""
        before, _, rest = path.partition(PATH + "/")
        name, _, results = rest.partition("/")
        if name not in self._batches:
            return None
        return self._lines(name) if results == "results" else self._describe(name, before + PATH)

    def _describe(self, name: str, path: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        failed = sum(job.reply.status >= 400 for _, job in self._batches[name])
        counts = {"processing": 0, "canceled": 0, "expired": 0, "errored": failed}
        return {
            "id": name,
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": {**counts, "succeeded": len(self._batches[name]) - failed},
            "created_at": now.isoformat(),
            "ended_at": now.isoformat(),
            "expires_at": (now + timedelta(days=1)).isoformat(),
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{path}/{name}/results",
        }

    def _lines(self, name: str) -> str:
        lines = []
        for custom_id, job in self._batches[name]:
            if job.reply.status >= 400:
                error = {"type": "api_error", "message": job.reply.text or "scripted failure"}
                result = {"type": "errored", "error": {"type": "error", "error": error}}
            else:
                job.told(job.tells_whole)
                result = {"type": "succeeded", "message": job.body()}
            lines.append(json.dumps({"custom_id": custom_id, "result": result}))
        return "\n".join(lines) + "\n"
