"""What costspan raises: only at set-up, never into a running agent.

CostspanError
+- SettingsError        a setting, override file or budget file cannot be used
+- MissingExtraError    a framework was asked for by name and is not installed
+- InputError           a file given on the command line cannot be read at all
+- UsageError           a public function was called in a way that has no meaning
+- HistoryError         the history file cannot be opened, read or written
   +- OlderHistoryError an older costspan wrote it, and it was opened for reading only
"""

from __future__ import annotations


class CostspanError(Exception):
    """Base of everything that costspan raises; its message is one line that says what to do."""


class SettingsError(CostspanError):
    """A setting, price override or budget cannot be used as given."""


class MissingExtraError(CostspanError):
    """A framework or optional part was asked for and is not installed; the message has the pip line."""


class InputError(CostspanError):
    """Nothing readable was found in an input that the user named."""


class UsageError(CostspanError):
    """A public function was called with arguments that have no meaning together."""


class HistoryError(CostspanError):
    """The history file cannot be used: missing rights, no space, damaged, or made by a newer costspan."""


class OlderHistoryError(HistoryError):
    """The history file is of an older costspan: opening it for writing brings it up to date."""
