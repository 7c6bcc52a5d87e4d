"""The house keeps its order: a module imports only from modules above it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xingping

SOURCE = Path(xingping.__file__).parent

ORDER = [
    "errors", "config", "progress", "artifacts", "cache", "ratings", "sources", "records", "scanning", "delimited",
    "json_records", "tables", "cleaning", "columns", "checking", "duplicates", "reviews", "segmentation", "splits",
    "grouped_splits", "summary", "workers", "spilling", "portions", "intake", "division", "row_groups",
    "preparation", "texts", "prepared", "encoders", "word_pooling", "features", "batches", "epochs", "pooling",
    "links", "outputs", "heads", "film_effects", "losses", "metrics", "scoring", "ngrams", "calibration", "answers",
    "model_card", "model_encoder", "scorer", "head_scorer", "graph_scorer", "rating_graph", "bundles", "model_page",
    "hub", "predictor", "neighbours", "ranks", "checkpoints", "schedule", "objective", "training", "unfreezing",
    "end_to_end", "finetuning", "tuning", "estimators", "baselines", "intervals", "script", "slices", "label_noise",
    "behaviour", "evaluation", "comparing", "fitting", "crossvalidation", "learning_curve", "attribution",
    "explanation", "examples", "faithfulness", "moving_words", "estimates", "vocabulary", "contrast",
    "aspect_lexicon", "aspects", "periods", "typical", "film_study", "film_comparison", "projection", "assessment",
    "language", "names", "fonts", "plots", "report", "unrated", "table_writer", "row_answers", "file_parts",
    "rated_file", "batch", "unseen", "exporting", "serve", "scale", "stages", "pipeline", "cli",
]  # fmt: skip

HEAVY = ("torch", "transformers", "matplotlib", "sklearn", "pyarrow", "openTSNE", "pydantic", "numpy")


def modules():
    return sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or not path.name.startswith("__"))


def place(path):
    top = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    return ORDER.index(top)


def imported(path):
    """Yield the top-level xingping modules that a file imports at module level or below."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.startswith("xingping."):
                yield name.split(".")[1]


def test_the_order_names_every_module():
    tops = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in modules()}
    assert tops == set(ORDER)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_from_modules_above_it(path):
    below = [name for name in imported(path) if ORDER.index(name) > place(path)]
    assert below == []


def test_public_names_are_pinned_and_importable():
    assert xingping.__all__ == sorted(xingping.__all__)
    assert {"FrozenEncoder", "RatingPredictor"} <= set(xingping.__all__)
    assert all(getattr(xingping, name).__name__ == name for name in xingping.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = xingping.Nothing


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, xingping; sys.exit(' '.join(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_the_command_line_starts_without_torch():
    heavy = ("torch", "transformers", "matplotlib")
    code = f"import sys, xingping.cli; sys.exit(' '.join(m for m in {heavy} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
