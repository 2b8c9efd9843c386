"""The dashboards as code: one module per dashboard, built with grafana-foundation-sdk into `grafana/dashboards/*.json`.

`python -m grafana.build` (or `make dashboards`) writes the files, `python -m grafana.build --check` only compares them.

- `promql.py` is how queries are written: matchers, and `grown()`, what a counter added within a range.
- `panels.py` is how a panel looks: one function per kind of panel, with everything that every panel must have.
- `frame.py` is what all dashboards share: variables, links, annotations, layout, and the form of the JSON.

The JSON is the classic model as Grafana 10.0 writes it (schema version 38): 10 reads it as it is, and 11 to 13 bring it up to
date when they load it. A higher number would be refused by a Grafana that knows only lower ones.
"""
