import csv

from toy import BAD, GOOD
from xingping.unseen import evaluate_file


def test_an_unseen_file_is_measured_with_every_model(trained_run, tmp_path, isolated_cache):
    rows = [{"text": f"看过{GOOD}{i}", "rating": "力荐"} for i in range(9)] + [{"text": BAD, "rating": "很差"}]
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    measures = evaluate_file(trained_run, tmp_path / "in.csv")
    assert list(measures) == ["classification", "regression"]
    assert measures["classification"]["n"] == 10
    assert measures["classification"]["accuracy"] > 0.8
    assert "decisions" in measures["classification"]
