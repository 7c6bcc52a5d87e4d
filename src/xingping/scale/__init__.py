"""The stages whose cost is computation, on a Ray cluster: encoding, training and rating whole tables (extra `ray`).

Each function takes what its counterpart on one machine takes and an `EngineSettings`, and gives the same result.
"""

from importlib.util import find_spec

from xingping.errors import UsageError

_missing = [name for name in ("ray", "pandas", "fsspec") if find_spec(name) is None]
if _missing:
    raise UsageError(
        f"--engine ray needs packages that are not installed ({', '.join(_missing)}); run: pip install 'xingping[ray]'"
    )

from xingping.scale.cluster import connect, disconnect  # noqa: E402 - the check comes first
from xingping.scale.encoding import encode_on_ray  # noqa: E402
from xingping.scale.prediction import predict_on_ray  # noqa: E402
from xingping.scale.training import stored_splits, train_on_ray  # noqa: E402

__all__ = ["connect", "disconnect", "encode_on_ray", "predict_on_ray", "stored_splits", "train_on_ray"]
