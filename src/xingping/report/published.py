"""Results that others published, for orientation: other data, so not to be compared point by point.

The names are messages, not yet looked up.
"""

from typing import Any

from xingping.language import N_

__all__ = ["PUBLISHED", "PUBLISHED_FILM", "PUBLISHED_ON"]

PUBLISHED_ON = N_("Published, other data (full DMSC, bert-base-chinese)")

PUBLISHED: dict[str, dict[str, Any]] = {
    N_("article, classification"): {"accuracy": 0.61, "accuracy_within_one": 0.946},
    N_("article, regression"): {"accuracy_within_one": 0.953},
}

PUBLISHED_FILM: dict[str, dict[str, dict[str, Any]]] = {
    "疯狂动物城": {N_("article, this film"): {"accuracy": 0.7263, "accuracy_within_one": 0.9856}},
}
