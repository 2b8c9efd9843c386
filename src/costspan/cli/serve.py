"""`costspan serve`: receive spans of any program, keep them, show what they cost."""

from __future__ import annotations

import os
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the command line is built
from typing import Annotated

import typer

from costspan.errors import MissingExtraError, SettingsError

_HELP = """Receive spans of any program over OTLP, keep them, and show what its agents cost.

Programs need OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 (HTTP) or :4317 (gRPC). Only this machine can reach it unless
--host says otherwise, and then COSTSPAN_TOKEN must be set."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="serve", help=_HELP)(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page and /metrics.")] = 8717,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of OTLP/HTTP.")] = 4318,
    grpc_port: Annotated[int, typer.Option(min=-1, max=65535, help="Port of OTLP/gRPC; -1 for none.")] = 4317,
    db: Annotated[Path | None, typer.Option(help="History file; COSTSPAN_HISTORY or the user's data folder by default.")] = None,
    forward: Annotated[str | None, typer.Option(help="OTLP/HTTP address that all spans are passed on to, with cost.")] = None,
    keep_days: Annotated[int | None, typer.Option(min=1, help="Remove what is older; daily sums stay.")] = None,
    keep_mb: Annotated[int | None, typer.Option(min=1, help="Remove the oldest while the history is larger.")] = None,
    quiet: Annotated[float, typer.Option(min=0.1, help="Seconds after which an ended trace is settled.")] = 3.0,
) -> None:
    """Run the server in this process until Ctrl-C."""
    from costspan import settings as settings_of
    from costspan.price.book import PriceBook

    try:
        from costspan.server.context import Options
        from costspan.server.serving import Server
    except ImportError as error:
        message = f"`costspan serve` needs {error.name}: pip install 'costspan[server]'"
        raise MissingExtraError(message) from error
    settings = settings_of.read()
    token = os.environ.get("COSTSPAN_TOKEN", "").strip() or None
    if len({each for each in (port, http_port, grpc_port) if each > 0}) < sum(each > 0 for each in (port, http_port, grpc_port)):
        raise SettingsError("--port, --http-port and --grpc-port must differ")
    options = Options(
        host=host,
        page_port=port,
        http_port=http_port,
        grpc_port=grpc_port,
        token=token,
        forward=forward,
        keep_days=keep_days,
        keep_bytes=None if keep_mb is None else keep_mb << 20,
        quiet_seconds=quiet,
        budgets=settings.budgets,
    )
    server = Server(db or settings.history or settings_of.history_path(), PriceBook(settings.prices), options)
    server.run(lambda: print(_addresses(server), file=sys.stderr, flush=True))


def _addresses(server: object) -> str:
    from costspan.budgets import limits

    options, page, http, grpc = (getattr(server, name) for name in ("options", "page", "http", "grpc"))
    shown = f"[{options.host}]" if ":" in options.host else options.host
    lines = [
        f"costspan: page     http://{shown}:{page.port}/  (and /metrics, /health)",
        f"costspan: OTLP     http://{shown}:{http.port}  (HTTP)" + (f", http://{shown}:{grpc.port}  (gRPC)" if grpc else ""),
        f"costspan: programs need OTEL_EXPORTER_OTLP_ENDPOINT=http://{shown}:{http.port}",
        f"costspan: history  {getattr(server, 'database').path}",  # noqa: B009
    ]
    trouble = limits.trouble(options.budgets)
    return "\n".join([*lines, *([f"costspan: {trouble}"] if trouble else ())])
