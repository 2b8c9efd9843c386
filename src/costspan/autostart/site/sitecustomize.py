"""Put on PYTHONPATH by `costspan run`: switches costspan on before the program starts, then makes way.

A `sitecustomize` of the user's own is still run: Python imports only the first one that it finds, so ours hands on.
"""

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

_HERE = str(Path(__file__).resolve().parent)


def _hand_on() -> None:
    paths = [path for path in sys.path if str(Path(path or ".").resolve()) != _HERE]
    finder = importlib.machinery.PathFinder.find_spec("sitecustomize", paths)
    if finder is not None and finder.loader is not None:
        module = importlib.util.module_from_spec(finder)
        sys.modules["sitecustomize"] = module
        finder.loader.exec_module(module)


def _start() -> None:
    try:
        from costspan.autostart import under_run
    except ImportError as error:
        print(  # noqa: T201 - the command line's own message
            f"costspan: not importable by {sys.executable} ({error}); install it there: pip install costspan",
            file=sys.stderr,
        )
        return
    under_run.start()


if os.environ.get("COSTSPAN_UNDER_RUN"):
    _start()
_hand_on()
