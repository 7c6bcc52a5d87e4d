import numpy as np
import pyarrow as pa

from xingping.projection import project, project_reviews, sample_for_projection


def clusters(n=150, dim=64):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    return labels, (rng.normal(size=(3, dim)) * 8)[labels] + rng.normal(size=(n, dim))


def test_clusters_stay_apart():
    labels, vectors = clusters()
    points = project(vectors, seed=0)
    centres = np.array([points[labels == label].mean(0) for label in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    assert points.shape == (150, 2)
    assert (nearest == labels).mean() > 0.98


def test_one_seed_gives_one_map():
    _, vectors = clusters()
    np.testing.assert_array_equal(project(vectors, seed=1), project(vectors, seed=1))


def test_a_handful_of_reviews_is_no_error():
    assert project(np.ones((3, 5)), seed=0).tolist() == [[0, 0]] * 3
    assert np.isfinite(project(np.random.default_rng(0).normal(size=(9, 5)), seed=0)).all()


def test_the_sample_is_the_test_split_and_enough_of_each_film():
    film = np.array(["大"] * 3000 + ["小"] * 200)
    split = np.array(["train"] * 3200)
    split[:300] = split[3000:3020] = "test"
    reviews = pa.table({"row": np.arange(3200), "film": film, "split": split, "rating": [3] * 3200})
    chosen = sample_for_projection(reviews, seed=0)
    assert chosen["split"].to_pylist().count("test") == 320
    assert chosen["film"].to_pylist().count("小") == 120
    assert chosen["row"].to_pylist() == sorted(set(chosen["row"].to_pylist()))
    table = project_reviews(chosen.slice(0, 5), {"": np.ones((5, 3)), "frozen_": np.ones((5, 3))}, seed=0)
    assert table.column_names == ["row", "split", "film", "rating", "x", "y", "frozen_x", "frozen_y"]
