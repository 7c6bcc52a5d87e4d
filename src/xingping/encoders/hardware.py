"""Which device an encoder runs on, and in which precision it runs fastest there."""

from pathlib import Path
from typing import Literal

import torch

from xingping.errors import SettingsError

__all__ = ["choose_device", "choose_precision", "has_native_bf16"]

CPU_FLAGS = Path("/proc/cpuinfo")


def choose_device(device: str | None) -> torch.device:
    """Return the device: the one named, or else the GPU where there is one.

    Raises
    ------
    SettingsError
        The name means no device of this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has no single class for it
        raise SettingsError(f"device {device!r} cannot be used here; choose cpu, or leave it out") from error
    return chosen


def choose_precision(precision: str = "auto", device: torch.device | None = None) -> Literal["fp32", "bf16"]:
    """Return fp32 or bf16; auto takes bf16 where the hardware multiplies matrices of it.

    Parameters
    ----------
    precision
        auto, fp32 or bf16.
    device
        Where the encoder runs; by default the one that `choose_device(None)` gives.

    Raises
    ------
    SettingsError
        The precision is none of auto, fp32 and bf16.
    """
    match precision:
        case "fp32" | "bf16":
            return precision
        case "auto":
            return "bf16" if has_native_bf16(device or choose_device(None)) else "fp32"
    raise SettingsError(f"precision {precision!r} is unknown; choose auto, fp32 or bf16")


def has_native_bf16(device: torch.device) -> bool:
    """Say whether a device multiplies matrices of bf16 in hardware; emulated, it is slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    try:
        flags = CPU_FLAGS.read_text(encoding="utf-8")  # older torch keeps what it knows to itself
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
