"""Token features on disk, one entry per distinct text: sharded, memory-mapped, checksummed, resumable."""

from xingping.features.forecast import Forecast
from xingping.features.lookup import find_or_encode
from xingping.features.manifest import ShardEntry
from xingping.features.store import SHARD_TEXTS, FeatureStore
from xingping.features.stored import PackedFeatures, StoredFeatures

__all__ = [
    "SHARD_TEXTS", "FeatureStore", "Forecast", "PackedFeatures", "ShardEntry", "StoredFeatures", "find_or_encode",
]  # fmt: skip
