"""How many spans a second one core receives, accounts for and stores, end to end: `python benchmarks/receiver.py [SPANS]`.

Starts `costspan serve` as its users do, sends OTLP protobuf batches of 512 over HTTP (or gRPC with --grpc) by so many senders at
once as --senders says, waits until every trace is settled, and divides by the processor time that the server's process took; so
other programs on the machine do not count.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from otlp_load import SPANS_PER_RUN, Load

SIZE = 512
WARM_UP = 20 * SIZE


def batches_of(spans: int, seed: int, *, layers: bool) -> list[bytes]:
    """Full batches of whole runs: one without its root would wait for it for two minutes."""
    whole = math.lcm(SIZE, 22 if layers else SPANS_PER_RUN)
    return list(Load(seed, layers=layers).batches(-(-spans // whole) * whole, SIZE))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def bare_decode(batches: list[bytes]) -> float:
    """Seconds of processor time that reading the same bytes takes, without doing anything with them."""
    from costspan.intake.otlp import decode_protobuf

    began = time.process_time()
    for batch in batches:
        for _ in decode_protobuf(batch):
            pass
    return time.process_time() - began


def settled(page: str) -> dict:
    while True:
        health = httpx.get(f"{page}/health").json()
        if not health["open_traces"] and not health["open_spans"]:
            return health
        time.sleep(0.3)


def sender(args: argparse.Namespace, port: int):
    if not args.grpc:
        client = httpx.Client(timeout=120)
        url = f"http://127.0.0.1:{port}/v1/traces"
        return lambda body: client.post(url, content=body, headers={"Content-Type": "application/x-protobuf"}).raise_for_status()
    import grpc

    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_send_message_length", 1 << 30)])
    return channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("spans", nargs="?", type=int, default=100_000)
    parser.add_argument("--grpc", action="store_true")
    parser.add_argument("--senders", type=int, default=1)
    parser.add_argument("--layers", action="store_true", help="each model call is told of by two instrumentations")
    parser.add_argument("--port", type=int, default=28717)
    args = parser.parse_args()
    batches = batches_of(args.spans, 1, layers=args.layers)
    warm_up = batches_of(WARM_UP, 99, layers=args.layers)
    folder = tempfile.TemporaryDirectory(prefix="costspan-bench-")
    db = Path(folder.name) / "history.db"
    command = [sys.executable, "-m", "costspan", "serve", "--db", str(db)]
    for place, option in enumerate(("--port", "--http-port", "--grpc-port")):
        command += [option, str(args.port + place)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        page = f"http://127.0.0.1:{args.port}"
        while "history" not in server.stderr.readline():
            pass
        send = sender(args, args.port + (2 if args.grpc else 1))
        for batch in warm_up:
            send(batch)
        settled(page)
        idle_mb = memory_mb(server.pid, "VmRSS:")
        before, began = cpu_seconds(server.pid), time.monotonic()
        with ThreadPoolExecutor(args.senders) as senders:
            list(senders.map(send, batches))
        accepted = time.monotonic() - began
        health = settled(page)
        wall, cpu = time.monotonic() - began, cpu_seconds(server.pid) - before
        count = len(batches) * SIZE
        bare = bare_decode(batches)
        found = {
            "spans": count,
            "protocol": "grpc" if args.grpc else "http",
            "senders": args.senders,
            "layers": 2 if args.layers else 1,
            "spans_per_cpu_second": round(count / cpu),
            "cpu_microseconds_per_span": round(cpu / count * 1e6, 1),
            "bare_decode_microseconds_per_span": round(bare / count * 1e6, 1),
            "spans_per_second_wall": round(count / wall),
            "accepted_per_second_wall": round(count / accepted),
            "peak_memory_mb": round(memory_mb(server.pid, "VmHWM:")),
            "memory_after_warm_up_mb": round(idle_mb),
            "settled_runs": health["settled_runs"],
            "internal_errors": health["internal_errors"],
        }
        server.terminate()
        server.wait(60)  # what is left of the write-ahead log goes into the file
        found["bytes_per_span"] = round(db.stat().st_size / (count + len(warm_up) * SIZE))
        print(json.dumps(found, indent=1))
    finally:
        server.kill()
        server.wait(20)
        folder.cleanup()


if __name__ == "__main__":
    main()
