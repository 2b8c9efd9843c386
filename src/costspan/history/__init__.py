"""Runs, calls and spans on disk: one SQLite file that several processes write and read at once."""
