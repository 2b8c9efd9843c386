"""`costspan rules`: write Prometheus' recording and alerting rules."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the command line is built
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command("rules")
    def rules(
        budgets: Annotated[Path | None, typer.Option(help="Your limits (budgets.yaml).")] = None,
        thresholds: Annotated[
            Path | None, typer.Option(help="Knobs of the rules that differ from ours (thresholds.yml).")
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Folder for the rule files; without it they go to stdout.")] = None,
        kubernetes: Annotated[bool, typer.Option("--kubernetes", help="One PrometheusRule object instead of files.")] = False,
    ) -> None:
        """Write Prometheus rules: the spend ledger, burn rates, forecasts, and alerts for your budgets."""
        from costspan.budgets import limits as budget_file
        from costspan.generate import rules as generate
        from costspan.generate import thresholds as knobs_file

        limits = budget_file.read(budgets) if budgets else ()
        knobs = knobs_file.read(thresholds)
        one = {"prometheusrule.yaml": generate.prometheus_rule(knobs, limits)} if kubernetes else None
        texts = one or generate.render(knobs, limits)
        if out is None:
            # Several files as several YAML documents; a person reads them, or pipes the one Kubernetes object.
            sys.stdout.write("---\n".join(texts.values()))
            return
        for path in generate.write(out, texts):
            print(path)
        if not limits and not kubernetes:
            print("no budgets given: the limits that need none are written (see docs/alerts.md)", file=sys.stderr)
