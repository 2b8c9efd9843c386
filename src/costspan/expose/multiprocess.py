"""Multiprocess mode: siblings of one server (gunicorn or uvicorn workers) add up in `PROMETHEUS_MULTIPROC_DIR`.

prometheus-client ignores custom collectors in this mode. So every booking is also written to its memory-mapped files, at
once, and any sibling can serve the sum of all. What that mode has no place for is lost: exemplars and created timestamps.
A worker that died keeps its counters; its gauges of runs in flight are dropped at the next scrape.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.utils import floatToGoString

from costspan import conventions as names
from costspan.account.meter_specs import COUNTER, GAUGE, Spec
from costspan.account.meter_state import ACTIVE
from costspan.account.series import Buckets, Series, Single

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from costspan.account.meters import Meters

_SUMMED: Final = frozenset({names.ACTIVE_RUNS})
"""Gauges that add up over siblings; of all others the largest is right (the version, a limit, the largest run)."""


class Mirror:
    """Writes what `Meters` books into prometheus-client's files for this process; survives a fork."""

    def __init__(self, meters: Meters) -> None:
        self._value = _value_class()
        self._meters = meters
        self._running: list[Any] = []
        meters.start_mirror(self.write)

    def write(self, changed: Iterable[Series]) -> None:
        """Bring the files up to date with these series; `Meters` calls this under its lock."""
        for series in changed:
            if isinstance(series, Buckets):
                self._histogram(series)
            elif series.spec.kind == COUNTER:
                self._counter(series)
            else:
                self._gauge(series)

    def close(self) -> None:
        """Stop mirroring; what was counted stays, runs in flight of this process are 0 from now on."""
        self._meters.mirror = None
        for gauge in self._running:
            gauge.set(0)

    def _counter(self, series: Single) -> None:
        state = series.mirrored
        if state is None:
            spec = series.spec
            family = spec.name.removesuffix("_total")
            state = [self._make(spec, family, spec.name, series.labels), 0.0]
            series.mirrored = state
        value = float(series.value)
        if value != state[1]:
            state[0].inc(value - state[1])
            state[1] = value

    def _gauge(self, series: Single) -> None:
        if series.mirrored is None:
            mode = "livesum" if series.spec.name in _SUMMED else "livemax"
            series.mirrored = self._make(series.spec, series.spec.name, series.spec.name, series.labels, mode=mode)
            if series.spec.name in ACTIVE:
                self._running.append(series.mirrored)
        series.mirrored.set(float(series.value))

    def _histogram(self, series: Buckets) -> None:
        state = series.mirrored
        if state is None:
            state = series.mirrored = self._make_histogram(series)
        buckets, total, counts, last = state
        for index, count in enumerate(series.counts):
            if count != counts[index]:
                buckets[index].inc(count - counts[index])
        value = float(series.total)
        if value != last:
            total.inc(value - last)
        state[2], state[3] = series.counts.copy(), value

    def _make_histogram(self, series: Buckets) -> list[Any]:
        spec, name = series.spec, series.spec.name
        bounds = [floatToGoString(bound) for bound in (*series.bounds, float("inf"))]  # type: ignore[no-untyped-call]
        buckets = [self._make(spec, name, f"{name}_bucket", series.labels, le=bound) for bound in bounds]
        return [buckets, self._make(spec, name, f"{name}_sum", series.labels), [0] * len(buckets), 0.0]

    def _make(self, spec: Spec, family: str, name: str, labels: tuple[str, ...], *, le: str | None = None, mode: str = "") -> Any:
        label_names, label_values = spec.labels, labels
        if le is not None:
            label_names, label_values = (*label_names, "le"), (*labels, le)
        kwargs = {"multiprocess_mode": mode} if spec.kind == GAUGE else {}
        return self._value(spec.kind, family, name, label_names, label_values, spec.help, **kwargs)


class SiblingsRegistry(CollectorRegistry):
    """What all siblings booked, read from their files at each scrape; this process's gauges are refreshed before."""

    def __init__(self, meters: Meters, directory: Path) -> None:
        super().__init__(auto_describe=False)
        self._meters = meters
        self._directory = directory
        MultiProcessCollector(self, path=str(directory))  # type: ignore[no-untyped-call]

    def collect(self) -> Any:
        self._meters.refresh_gauges()
        forget_the_dead(self._directory)
        return super().collect()


def forget_the_dead(directory: Path) -> None:
    """Drop the gauges of processes that are gone (killed workers never say goodbye)."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not _is_alive(int(pid)):
            mark_process_dead(int(pid), str(directory))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _value_class() -> Any:
    """prometheus-client's class of values: its own when it is in multiprocess mode (one process may open each file once)."""
    chosen = values.ValueClass
    return chosen if getattr(chosen, "_multiprocess", False) else values.MultiProcessValue()  # type: ignore[no-untyped-call]
