import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xingping.features.quantization import SMALLEST_SHARE, Scaling

vectors_of = st.integers(1, 12).flatmap(
    lambda dim: st.tuples(
        *[arrays.arrays(np.float16, (rows, dim), elements=st.floats(-100, 100, width=16)) for rows in (20, 7)]
    )
)


@given(vectors_of)
def test_what_is_restored_is_within_half_a_step_of_each_dimension(both):
    sample, vectors = both
    scaling = Scaling.measure(sample)
    codes, scales = scaling.quantise(vectors)
    restored = scaling.restore(codes, scales)
    assert codes.dtype == np.int8
    assert np.abs(codes.astype(int)).max() <= 127
    standard = (vectors.astype(np.float64) - scaling.mean) / scaling.deviation
    # A scale is rounded to 16 bits: up to 2**-11 of it, and 2**-25 where it is smallest, for each of 127 steps.
    step = scales.astype(np.float64) * (0.5 + 127 * 2**-10) + 127 * 2.0**-24
    assume((np.abs(standard) < 127 * 65504).all())  # beyond, 16 bits hold no scale
    error = np.abs((restored - scaling.mean) / scaling.deviation - standard)
    assert (error <= step[:, None] + 1e-4 * (1 + np.abs(scaling.mean / scaling.deviation))).all()


def test_a_large_constant_dimension_does_not_crush_the_others():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 64)).astype(np.float16)
    vectors[:, 5] = 300 + rng.normal(size=500)
    scaling = Scaling.measure(vectors[:250])
    restored = scaling.restore(*scaling.quantise(vectors))
    rest = np.arange(64) != 5
    plain_step = np.abs(vectors).max(axis=1, keepdims=True) / 127  # of one scale for the vector as it is
    plain = np.rint(vectors / plain_step) * plain_step
    errors = [np.abs(found[:, rest] - vectors[:, rest]).mean() for found in (restored, plain)]
    assert errors[0] < 0.01
    assert errors[1] > 20 * errors[0]


def test_a_constant_dimension_has_a_deviation_to_divide_by():
    vectors = np.zeros((50, 3), dtype=np.float16)
    vectors[:, 0] = np.linspace(-1, 1, 50)
    vectors[:, 1] = np.linspace(-2, 2, 50)
    deviation = Scaling.measure(vectors).deviation
    assert np.isclose(deviation[2], SMALLEST_SHARE * np.median(vectors.std(axis=0)), rtol=0.01)
    assert Scaling.measure(vectors[:, 2:]).deviation.tolist() == [1.0]


def test_vectors_far_from_the_sample_are_kept_as_large_as_can_be_and_never_become_no_numbers():
    scaling = Scaling.measure(np.random.default_rng(0).normal(scale=1e-3, size=(50, 4)).astype(np.float16))
    extreme = np.array([[65504, -65504, 0, 1]], dtype=np.float16)
    restored = scaling.restore(*scaling.quantise(extreme))
    assert np.isfinite(restored).all()
    assert restored[0, 0] > 1000
    assert restored[0, 1] < -1000


def test_the_mean_itself_is_restored_exactly_and_nothing_has_a_shape():
    scaling = Scaling.measure(np.ones((3, 4), dtype=np.float16))
    assert scaling.restore(*scaling.quantise(np.ones((2, 4), dtype=np.float16))).tolist() == [[1.0] * 4] * 2
    nothing = np.zeros((0, 4), dtype=np.float16)
    assert scaling.restore(*scaling.quantise(nothing)).shape == (0, 4)
    assert Scaling.measure(nothing).deviation.tolist() == [1.0] * 4


def test_figures_travel_as_bytes():
    scaling = Scaling.measure(np.random.default_rng(0).normal(size=(9, 5)).astype(np.float16))
    again = Scaling.from_bytes(scaling.to_bytes())
    np.testing.assert_array_equal(again.mean, scaling.mean)
    np.testing.assert_array_equal(again.deviation, scaling.deviation)
