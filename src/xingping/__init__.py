"""xingping (星评): star ratings from Chinese reviews.

Names are imported on first use, so that `import xingping` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xingping.answers import Ratings
    from xingping.config import RunSettings
    from xingping.encoders import FrozenEncoder, TokenFeatures
    from xingping.errors import XingpingError
    from xingping.estimators import RatingClassifier, RatingRegressor
    from xingping.explanation import Explanation, explain
    from xingping.features import FeatureStore
    from xingping.metrics import rating_metrics
    from xingping.pipeline import Pipeline
    from xingping.predictor import RatingPredictor
    from xingping.reviews import read_reviews

__all__ = [
    "Explanation",
    "FeatureStore",
    "FrozenEncoder",
    "Pipeline",
    "RatingClassifier",
    "RatingPredictor",
    "RatingRegressor",
    "Ratings",
    "RunSettings",
    "TokenFeatures",
    "XingpingError",
    "explain",
    "rating_metrics",
    "read_reviews",
]

_HOMES = {
    "Explanation": "explanation",
    "FeatureStore": "features",
    "FrozenEncoder": "encoders",
    "Pipeline": "pipeline",
    "RatingClassifier": "estimators",
    "RatingPredictor": "predictor",
    "RatingRegressor": "estimators",
    "Ratings": "answers",
    "RunSettings": "config",
    "TokenFeatures": "encoders",
    "XingpingError": "errors",
    "explain": "explanation",
    "rating_metrics": "metrics",
    "read_reviews": "reviews",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _HOMES:
        raise AttributeError(f"module 'xingping' has no attribute {name!r}")
    return getattr(import_module(f"xingping.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
