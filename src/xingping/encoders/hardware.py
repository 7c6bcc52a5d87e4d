"""What this machine can do: its devices, its cores, and the precisions it multiplies fast."""

import os
import platform
import sys
from functools import cache
from pathlib import Path

from xingping.errors import SettingsError

__all__ = ["choose_device", "core_count", "describe_hardware", "has_int8", "has_native_bf16"]

CPU_INFO = Path("/proc/cpuinfo")
DEVICES = Path("/dev")
GPU_NODES = ("nvidia[0-9]*", "kfd", "dxg")
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
X86 = frozenset({"x86_64", "AMD64", "i386", "i686", "x86"})


def choose_device(device: str | None) -> str:
    """Return the name of the device: the one named, or else the GPU where there is one.

    torch is asked only where something is named or may be found: its import takes longer than all the rest.

    Raises
    ------
    SettingsError
        The name means no device of this machine.
    """
    if device == "cpu" or (device is None and not _may_have_gpu()):
        return "cpu"
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has no single class for it
        raise SettingsError(f"device {device!r} cannot be used here; choose cpu, or leave it out") from error
    return device


def core_count() -> int:
    """Return the number of cores to compute on: those this process may use, each once, or `OMP_NUM_THREADS`."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    import psutil

    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def has_native_bf16(device: str) -> bool:
    """Say whether a device multiplies matrices of bf16 in hardware; emulated, it is slower than fp32."""
    if device == "cpu":
        return bool(_cpu_flags() & BF16_FLAGS)
    import torch

    return device.startswith("cuda") and bool(torch.cuda.is_bf16_supported(including_emulation=False))


def has_int8() -> bool:
    """Say whether the processor multiplies 8-bit integers exactly: x86 without VNNI cuts sums off at 16 bits."""
    return platform.machine() not in X86 or bool(_cpu_flags() & INT8_FLAGS)


def describe_hardware(device: str) -> dict[str, object]:
    """Return what decides which runtime is the fastest here, as JSON-serialisable values."""
    described: dict[str, object] = {
        "device": device,
        "processor": _processor(),
        "cores": core_count(),
        "flags": sorted(_cpu_flags() & (INT8_FLAGS | BF16_FLAGS)),
    }
    if device != "cpu":
        import torch

        described["gpu"] = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return described


def _may_have_gpu() -> bool:
    return sys.platform != "linux" or any(True for pattern in GPU_NODES for _ in DEVICES.glob(pattern))


def _cpu_flags() -> frozenset[str]:
    return _read_flags(CPU_INFO)


@cache
def _read_flags(path: Path) -> frozenset[str]:
    for line in _lines(path):
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def _processor() -> str:
    for line in _lines(CPU_INFO):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
