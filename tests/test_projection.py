import numpy as np

from xingping.projection import project, sample_for_projection


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
    film = np.array(["大"] * 3000 + ["小"] * 200, dtype=object)
    is_test = np.zeros(3200, dtype=bool)
    is_test[:300] = True
    is_test[3000:3020] = True
    chosen = sample_for_projection(film, is_test, seed=0)
    assert is_test[chosen].sum() == 320
    assert (film[chosen] == "小").sum() == 120
    assert len(set(chosen.tolist())) == len(chosen)
