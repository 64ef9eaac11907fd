"""What every exercise is asked: right answers pass, planted wrong ones fail at the property that they break."""

from collections.abc import Callable

import numpy as np
import pytest

from nqs_lab.lab.checks import exercise, grade


def assert_right(key, answer, seeds):
    """The answer passes every property, whatever the random cases."""
    for seed in range(seeds):
        verdict = grade(key, answer, seed=seed)
        assert verdict.passed, verdict.text
        assert verdict.held == len(exercise(key).properties)


def assert_caught(key, answer, says, seeds=3):
    """The answer fails with a hint, at the property whose text holds `says`."""
    for seed in range(seeds):
        verdict = grade(key, answer, seed=seed)
        assert not verdict.passed and "hint:" in verdict.text
        failed = verdict.text.split("FAILS:")[1].splitlines()[0]
        assert says in failed, verdict.text


def assert_explained(key):
    """No answer, and one of a wrong shape, are met with words."""
    assert "not answered yet" in grade(key, lambda *arguments: None, seed=0).text
    broken = grade(key, lambda *arguments: np.zeros((2, 3, 4)), seed=0)
    assert not broken.passed and "FAILS" in broken.text


def assert_two_each(right, wrong):
    """At least two planted wrong answers for every exercise."""
    for key in right:
        assert len([planted for planted in wrong if planted[0] == key]) >= 2


def questions(right, wrong, seeds: Callable[[str], int] = lambda key: 6):
    """The four tests of a lesson's exercises, to be named in its test file.

    `right`: an answer for every exercise. `wrong`: (exercise, answer, words of the property that it breaks).
    `seeds`: on how many random cases the right answer of an exercise is tried.
    """

    @pytest.mark.parametrize("key", right)
    def a_right_answer_passes_for_many_seeds(key):
        assert_right(key, right[key], seeds=seeds(key))

    @pytest.mark.parametrize("k", range(len(wrong)))
    def a_wrong_answer_is_caught_where_it_is_wrong(k):
        assert_caught(*wrong[k])

    @pytest.mark.parametrize("key", right)
    def an_empty_or_broken_answer_is_explained(key):
        assert_explained(key)

    def every_exercise_has_two_planted_wrong_answers():
        assert_two_each(right, wrong)

    return (
        a_right_answer_passes_for_many_seeds,
        a_wrong_answer_is_caught_where_it_is_wrong,
        an_empty_or_broken_answer_is_explained,
        every_exercise_has_two_planted_wrong_answers,
    )
