import numpy as np

from xingping.behaviour import PRAISE, behaviour_tests, run_behaviour_tests

REVIEWS = ["疯狂动物城真好看", "他的演技在线", "一般"]


def rated(rule, reviews=REVIEWS):
    return {
        result["name"]: result
        for result in run_behaviour_tests(lambda texts: np.array([rule(text) for text in texts]), reviews)
    }


def test_a_model_that_says_three_to_all_fails_every_minimum_and_no_invariance():
    results = rated(lambda _text: 3.0)
    for result in results.values():
        if result["kind"] == "minimum":
            assert result["rate"] == 1
        if result["kind"] == "invariance":
            assert result["failures"] == 0
    assert results["negating praise lowers"]["rate"] == 1
    assert results["intensified praise does not lower"]["rate"] == 0


def test_a_model_of_single_words_is_caught_by_negation():
    def by_words(text):
        return 3.0 + 2.0 * any(word in text for word in PRAISE)

    results = rated(by_words)
    assert results["plain praise is above the middle"]["rate"] == 0
    assert results["negated praise is below the middle"]["rate"] == 1
    assert results["negating praise lowers"]["rate"] == 1
    example = results["negating praise lowers"]["examples"][0]
    assert "不" in example["changed"]
    assert example["expected"] == example["expected_changed"] == 5.0


def test_a_model_that_reads_film_names_is_caught_by_swapping_them():
    results = rated(lambda text: 5.0 if "疯狂动物城" in text else 2.0)
    assert results["film names swapped"] == {
        "name": "film names swapped", "kind": "invariance", "n": 1, "failures": 1, "rate": 1.0,
        "examples": [{"text": "疯狂动物城真好看", "expected": 5.0, "changed": "长城真好看", "expected_changed": 2.0}],
    }  # fmt: skip
    assert results["common misspellings"]["n"] == 1
    assert results["a full stop added"]["failures"] == 0


def test_every_test_has_cases_and_every_change_changes():
    for test in behaviour_tests(REVIEWS):
        assert len(test.texts) > 0
        assert len(test.changed) in (0, len(test.texts))
        assert all(before != after for before, after in zip(test.texts, test.changed, strict=False))
    assert len(behaviour_tests()) < len(behaviour_tests(REVIEWS))
