"""Exceptions: one tree, so that a caller can catch as much or as little as it wants.

::

    XingpingError
    ├── UsageError            something the user can mend; the command line exits with 2
    │   ├── SettingsError     a setting is out of range or unknown
    │   ├── InputError        a file cannot be read, or holds nothing usable
    │   ├── EncoderError      an encoder cannot be found, loaded or trusted
    │   ├── RunDirectoryError a folder is no run directory, or lacks a stage
    │   └── OutputError       a result cannot be written
    └── StoreError            stored features are damaged

Every message is one line: what is wrong, where, and what to do about it.
"""

__all__ = [
    "EncoderError",
    "InputError",
    "OutputError",
    "RunDirectoryError",
    "SettingsError",
    "StoreError",
    "UsageError",
    "XingpingError",
]


class XingpingError(Exception):
    """Root of all errors that xingping raises on purpose."""


class UsageError(XingpingError):
    """Something the user can mend: wrong usage or unusable input."""


class SettingsError(UsageError):
    """A setting is unknown or out of range."""


class InputError(UsageError):
    """A file cannot be read, or holds nothing usable."""


class EncoderError(UsageError):
    """An encoder cannot be found, loaded or trusted."""


class RunDirectoryError(UsageError):
    """A folder is not a run directory of this version, or a stage of it is missing."""


class OutputError(UsageError):
    """A result cannot be written."""


class StoreError(XingpingError):
    """Stored features are damaged or belong to another encoder."""
