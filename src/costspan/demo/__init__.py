"""The demo: a real agent pipeline on a fake provider that keeps its own books, so that the numbers can be compared."""

from __future__ import annotations
