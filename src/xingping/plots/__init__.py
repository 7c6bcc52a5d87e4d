"""Figures: functions from arrays to a matplotlib Figure. They compute nothing and touch no global state."""

from xingping.plots.comparison import model_comparison
from xingping.plots.contrasts import distinctive_words, explanation_bars, moving_words
from xingping.plots.curves import learning_curves, training_curves
from xingping.plots.distributions import film_comparison, rating_distribution, stars_by_split
from xingping.plots.doubt import reliability_diagram
from xingping.plots.intervals import aspect_ratings, differences, faithfulness, model_intervals
from xingping.plots.matrices import confusion, confusion_within_one
from xingping.plots.projections import tsne, tsne_by_film
from xingping.plots.style import save_figure
from xingping.plots.timeline import ratings_over_time
from xingping.plots.words import frequent_words, tfidf_bars, word_cloud

__all__ = [
    "aspect_ratings",
    "confusion",
    "confusion_within_one",
    "differences",
    "distinctive_words",
    "explanation_bars",
    "faithfulness",
    "film_comparison",
    "frequent_words",
    "learning_curves",
    "model_comparison",
    "model_intervals",
    "moving_words",
    "rating_distribution",
    "ratings_over_time",
    "reliability_diagram",
    "save_figure",
    "stars_by_split",
    "tfidf_bars",
    "training_curves",
    "tsne",
    "tsne_by_film",
    "word_cloud",
]
