import pytest

from xingping.config import FinetuneSettings, HeadSettings, RunSettings, TrainingSettings, help_of
from xingping.errors import SettingsError


def test_settings_survive_a_round_trip_through_json():
    settings = RunSettings.parse({"encoder": {"layers": [9, 12]}, "tasks": ["regression"], "seed": 7})
    assert RunSettings.parse(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hedd": {}}, "setting hedd: Extra inputs"),
        ({"head": {"n_hops": 0}}, r"setting head\.n_hops: .*greater than or equal to 1 \(got 0\)"),
        ({"encoder": {"precision": "int3"}}, r"setting encoder\.precision"),
        ({"split": {"test": 0.9}}, r"setting split\.test: .*less than 0\.5"),
        ({"tasks": ["classification", "classification"]}, "setting tasks: each may be named once"),
        ({"head": {"pooling": ["mean", "mean"]}}, "setting head.pooling: each may be named once"),
        ({"training": {"classification_loss": ["emd", "emd"]}}, "classification_loss: each may be named once"),
        ({"tasks": []}, "setting tasks"),
        ({"training": {"learning_rate": "fast"}}, r"setting training\.learning_rate"),
        (
            {"finetuning": {"mode": "top-"}},
            r"setting finetuning\.mode: .*choose none, lora, full or top-N.* \(got 'top-'\)",
        ),
    ],
)
def test_what_is_unknown_or_out_of_range_is_named(values, message):
    with pytest.raises(SettingsError, match=message):
        RunSettings.parse(values)


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        HeadSettings().n_hops = 3


@pytest.mark.parametrize("settings", [FinetuneSettings, HeadSettings, TrainingSettings])
def test_every_field_has_a_line_of_help(settings):
    assert all(help_of(settings, field).endswith(".") for field in settings.model_fields)
