import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from xingping.errors import RunDirectoryError
from xingping.projection import MAP_FILE, MOST_POINTS, ReviewMap, project_reviews, sample_for_projection


def clusters(n=150, dim=64, seed=0):
    centres = np.random.default_rng(0).normal(size=(3, dim)) * 8
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return labels, centres[labels] + rng.normal(size=(n, dim))


def nearest_centre(points, review_map, labels):
    centres = np.array([review_map.points[labels == label].mean(0) for label in range(3)])
    return np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)


@pytest.fixture(scope="module")
def known():
    labels, vectors = clusters()
    return labels, vectors, ReviewMap.fit(vectors, seed=0)


def test_clusters_stay_apart(known):
    labels, _, review_map = known
    assert review_map.points.shape == (150, 2)
    assert (nearest_centre(review_map.points, review_map, labels) == labels).mean() > 0.98


def test_one_seed_gives_one_map(known):
    _, vectors, review_map = known
    assert ReviewMap.fit(vectors, seed=0).points.tobytes() == review_map.points.tobytes()


def test_many_points_are_laid_out_by_the_other_method_and_that_repeats_too(monkeypatch):
    monkeypatch.setattr("xingping.projection.MANY_POINTS", 100)
    labels, vectors = clusters()
    first, second = ReviewMap.fit(vectors, seed=0), ReviewMap.fit(vectors, seed=0)
    assert first.points.tobytes() == second.points.tobytes()
    new_labels, new = clusters(40, seed=1)
    assert (nearest_centre(first.place(new), first, labels) == new_labels).all()


def test_a_handful_of_reviews_is_no_error():
    few = ReviewMap.fit(np.ones((3, 5)), seed=0)
    assert few.points.tolist() == [[0, 0]] * 3
    assert few.place(np.ones((2, 5))).tolist() == [[0, 0]] * 2
    assert ReviewMap.fit(np.ones((0, 5)), seed=0).points.shape == (0, 2)


@pytest.mark.parametrize("n", [8, 9, 20])
def test_fewer_points_than_the_perplexity_have_a_map_and_take_new_ones(n):
    vectors = np.random.default_rng(0).normal(size=(n, 5))
    review_map = ReviewMap.fit(vectors, seed=0)
    placed = review_map.place(vectors[:3])
    assert np.isfinite(review_map.points).all()
    assert placed.shape == (3, 2)
    assert np.isfinite(placed).all()


def test_known_reviews_land_near_themselves(known):
    _, vectors, review_map = known
    placed = review_map.place(vectors)
    size = np.ptp(review_map.points, axis=0).max()
    assert np.median(np.linalg.norm(placed - review_map.points, axis=1)) < 0.05 * size


def test_new_reviews_land_with_their_class_each_for_itself_and_move_nothing(known):
    labels, _, review_map = known
    before = review_map.points.copy()
    new_labels, new = clusters(60, seed=1)
    placed = review_map.place(new)
    assert (nearest_centre(placed, review_map, labels) == new_labels).all()
    alone = np.concatenate([review_map.place(each[None]) for each in new[:5]])
    np.testing.assert_allclose(alone, placed[:5], atol=1e-3)
    np.testing.assert_array_equal(review_map.points, before)


def test_nothing_to_place_gives_nothing(known):
    assert known[2].place(np.zeros((0, 64))).shape == (0, 2)


def test_vectors_of_another_width_are_refused(known):
    with pytest.raises(ValueError, match="64 dimensions"):
        known[2].place(np.zeros((2, 63)))


def test_a_saved_map_places_the_same(known, tmp_path):
    _, _, review_map = known
    review_map.save(tmp_path)
    loaded = ReviewMap.load(tmp_path)
    _, new = clusters(10, seed=2)
    np.testing.assert_array_equal(loaded.points, review_map.points)
    np.testing.assert_array_equal(loaded.place(new), review_map.place(new))


def test_a_run_without_a_map_or_with_a_damaged_one_says_what_to_do(tmp_path):
    with pytest.raises(RunDirectoryError, match="xingping evaluate"):
        ReviewMap.load(tmp_path)
    save_file({"mean": np.zeros(3)}, tmp_path / MAP_FILE)
    with pytest.raises(RunDirectoryError, match="components"):
        ReviewMap.load(tmp_path)
    (tmp_path / MAP_FILE).write_bytes(b"no tensors")
    with pytest.raises(RunDirectoryError, match="xingping evaluate"):
        ReviewMap.load(tmp_path)


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
    film = rng.integers(0, 28, 400_000, dtype=np.int32)
    is_test = rng.random(400_000) < 0.1
    chosen = sample_for_projection(is_test, film, seed=0)
    assert is_test[chosen].sum() == MOST_POINTS
    assert len(chosen) < MOST_POINTS + 28 * 120
    assert len(sample_for_projection(is_test, film * 1000, seed=0)) == MOST_POINTS


def test_the_table_has_both_maps():
    reviews = pa.table({"row": np.arange(5), "film": ["大"] * 5, "split": ["test"] * 5, "rating": [3] * 5})
    flat = ReviewMap.fit(np.ones((5, 3)), seed=0)
    table = project_reviews(reviews, {"": flat, "frozen_": flat})
    assert table.column_names == ["row", "split", "film", "rating", "x", "y", "frozen_x", "frozen_y"]
