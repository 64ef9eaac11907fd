"""What every exercise is asked: right answers pass, planted wrong ones fail at the property that they break."""

import numpy as np

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
