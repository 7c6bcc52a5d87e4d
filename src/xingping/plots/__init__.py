"""Figures: functions from arrays to a matplotlib Figure. They compute nothing and touch no global state."""

from xingping.plots.comparison import model_comparison
from xingping.plots.curves import learning_curves, training_curves
from xingping.plots.distributions import rating_distribution, stars_by_split
from xingping.plots.matrices import confusion, confusion_within_one
from xingping.plots.projections import tsne
from xingping.plots.style import save_figure
from xingping.plots.words import frequent_words, tfidf_bars, word_cloud

__all__ = [
    "confusion",
    "confusion_within_one",
    "frequent_words",
    "learning_curves",
    "model_comparison",
    "rating_distribution",
    "save_figure",
    "stars_by_split",
    "tfidf_bars",
    "training_curves",
    "tsne",
    "word_cloud",
]
