"""Starting with a program, without touching its code: `costspan run` and `opentelemetry-instrument`."""
