"""`costspan dashboards`: the Grafana dashboards, for a Grafana of your own."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the command line is built
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    group = typer.Typer(no_args_is_help=True, help="The dashboards, for a Grafana (10 to 13) of your own.")
    app.add_typer(group, name="dashboards")

    @group.callback()
    def dashboards() -> None:
        """The dashboards, for a Grafana (10 to 13) of your own."""

    @group.command("export")
    def export(
        directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the JSON files; it is made if need be.")],
        datasource: Annotated[
            str | None,
            typer.Option(help="Name of your Prometheus data source in Grafana; without it Grafana's default is chosen."),
        ] = None,
    ) -> None:
        """Write the dashboards as JSON, to be imported or provisioned."""
        from costspan.generate import dashboards as shipped

        for path in shipped.export(directory, datasource):
            print(path)
        print("import them in Grafana (Dashboards, New, Import) or provision the folder: docs/dashboards.md", file=sys.stderr)
