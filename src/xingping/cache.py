"""Where files are kept that are made once and used by every run."""

import os
from pathlib import Path

import platformdirs

__all__ = ["CACHE_VARIABLE", "cache_folder"]

CACHE_VARIABLE = "XINGPING_CACHE"
"""The environment variable that names another cache folder."""


def cache_folder() -> Path:
    """Return the cache folder: `$XINGPING_CACHE`, or else the user's cache folder of this system.

    The folder need not exist yet. It may be deleted at any time; what was in it is made again.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_cache_dir("xingping", appauthor=False))
