"""What a store holds: of which encoder, in which unit, in which number format."""

from dataclasses import dataclass

from xingping.artifacts import fingerprint
from xingping.config import FeatureDtype, FeatureUnit

__all__ = ["STORE_FORMAT", "StoreLayout"]

STORE_FORMAT = 2
"""Version of the files; another one has other folders, so nothing is ever misread."""


@dataclass(frozen=True)
class StoreLayout:
    """All that decides the content of a shard, the texts apart.

    Attributes
    ----------
    encoder
        The encoder's fingerprint.
    unit, dtype
        As in the settings.
    segmentation
        The segmenter's fingerprint where the unit is a word, else empty.
    """

    encoder: str
    unit: FeatureUnit
    dtype: FeatureDtype
    segmentation: str = ""

    @property
    def name(self) -> str:
        """Name of the store's folder."""
        digest = fingerprint(STORE_FORMAT, self.encoder, self.unit, self.dtype, self.segmentation)
        return f"{self.unit}-{self.dtype}-{digest}"

    def describe(self) -> dict[str, str | int]:
        """Return the layout as the manifest has it."""
        return {
            "format": STORE_FORMAT,
            "encoder": self.encoder,
            "unit": self.unit,
            "dtype": self.dtype,
            "segmentation": self.segmentation,
        }
