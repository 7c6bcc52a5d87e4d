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
    film = np.array([0] * 3000 + [1] * 200, dtype=np.int32)
    is_test = np.zeros(3200, dtype=bool)
    is_test[:300] = is_test[3000:3020] = True
    chosen = sample_for_projection(is_test, film, seed=0)
    assert is_test[chosen].sum() == 320
    assert (film[chosen] == 0).sum() == 300
    assert (film[chosen] == 1).sum() == 120
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    np.testing.assert_array_equal(chosen, sample_for_projection(is_test, film, seed=0))


def test_a_sample_of_a_large_file_is_no_larger():
    rng = np.random.default_rng(0)
    film = rng.integers(0, 28, 200_000, dtype=np.int32)
    chosen = sample_for_projection(rng.random(200_000) < 0.1, film, seed=0)
    assert 4000 <= len(chosen) < 4000 + 28 * 120
    assert len(sample_for_projection(rng.random(200_000) < 0.1, film * 1000, seed=0)) == 4000


def test_the_table_has_both_maps():
    reviews = pa.table({"row": np.arange(5), "film": ["大"] * 5, "split": ["test"] * 5, "rating": [3] * 5})
    table = project_reviews(reviews, {"": np.ones((5, 3)), "frozen_": np.ones((5, 3))}, seed=0)
    assert table.column_names == ["row", "split", "film", "rating", "x", "y", "frozen_x", "frozen_y"]
