"""Frozen encoders: text in, one vector per token out."""

from xingping.encoders.frozen import FrozenEncoder
from xingping.encoders.token_features import TokenFeatures

__all__ = ["FrozenEncoder", "TokenFeatures"]
