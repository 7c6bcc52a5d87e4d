"""Errors that travel from a worker to the process that started the work, and stay what they were."""

import json
from typing import Any

import xingping.errors
from xingping.errors import XingpingError

__all__ = ["pack_error", "unpack_error"]


def pack_error(error: XingpingError) -> str:
    """Return an error as text."""
    return json.dumps([type(error).__name__, str(error)])


def unpack_error(text: str) -> XingpingError:
    """Return the error that `pack_error` was given."""
    name, message = json.loads(text)
    kind: Any = getattr(xingping.errors, name)
    error: XingpingError = kind(message)
    return error
