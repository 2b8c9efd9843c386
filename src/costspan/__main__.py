"""`python -m costspan`: the command line."""

from costspan.cli import main

main()
