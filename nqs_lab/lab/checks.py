"""Self-checks of the exercises: they test properties on random cases, say with numbers what failed, and give a hint.

An exercise "01.2" is the entry "01.2" of EXERCISES in nqs_lab.lab.checks_01; a new lesson adds a module, nothing else.
"""

import importlib
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Answer under test and a source of random cases -> None where the property holds, else what was seen, with numbers.
Test = Callable[[Any, np.random.Generator], str | None]


@dataclass(frozen=True)
class Property:
    """One thing that a right answer does: `test` in code, its docstring in words, and a hint where it fails."""

    test: Test
    hint: str

    @property
    def says(self) -> str:
        """The property in words."""
        return " ".join((self.test.__doc__ or "").split())


@dataclass(frozen=True)
class Exercise:
    """An exercise: its title and the properties of a right answer, the simplest first."""

    title: str
    properties: tuple[Property, ...]


@dataclass(frozen=True)
class Verdict:
    """What a check found: `passed`, how many properties held, and the text that the reader sees."""

    key: str
    passed: bool
    held: int
    text: str


class NotAnswered(Exception):
    """The reader has not written anything yet."""


def asked(answer: Any, *arguments: Any) -> Any:
    """Call the reader's function; an empty body (it returns None or ...) counts as not answered."""
    if not callable(answer):
        raise TypeError(f"a function was expected here (its name without brackets), got a {type(answer).__name__}")
    value = answer(*arguments)
    if value is None or value is Ellipsis:
        raise NotAnswered
    return value


def exercise(key: str) -> Exercise:
    """Find the exercise "LL.n" in the module of lesson LL; ValueError naming the exercises that exist."""
    lesson, _, number = key.partition(".")
    try:
        if not (re.fullmatch(r"\d\d[a-z]?", lesson) and number.isdigit()):
            raise ModuleNotFoundError
        exercises = importlib.import_module(f"nqs_lab.lab.checks_{lesson}").EXERCISES
    except ModuleNotFoundError:
        raise ValueError(
            f'there is no lesson with checks for "{key}"; write it as "01.2": lesson 01, exercise 2'
        ) from None
    if key not in exercises:
        raise ValueError(f'there is no exercise "{key}"; lesson {lesson} has {", ".join(exercises)}')
    return exercises[key]


def grade(key: str, answer: Any, *, seed: int | None = None) -> Verdict:
    """Test an answer and return the verdict without printing it.

    Arguments:
        key: lesson and number of the exercise, "01.2".
        answer: the reader's function (or value), as the exercise asks.
        seed: fixes the random cases; by default they are new at every call, so that a stored answer fails.
    Raises:
        ValueError: there is no such exercise.
    """
    task, rng = exercise(key), np.random.default_rng(seed)
    held: list[str] = []
    for prop in task.properties:
        try:
            seen = prop.test(answer, rng) if answer is not None and answer is not Ellipsis else _not_answered()
        except NotAnswered:
            return Verdict(key, False, 0, f"{key} {task.title}: not answered yet.")
        except Exception as error:
            seen = _describe(error)
        if seen is not None:
            lines = [f"{key} {task.title}: not yet."]
            lines += [f"  holds: {says}" for says in held]
            lines += [f"  FAILS: {prop.says}", f"         {seen}", f"  hint:  {prop.hint}"]
            return Verdict(key, False, len(held), "\n".join(lines))
        held.append(prop.says)
    return Verdict(
        key, True, len(held), "\n".join([f"{key} {task.title}: passed.", *(f"  holds: {says}" for says in held)])
    )


def check(key: str, answer: Any) -> None:
    """Test the answer to an exercise and print what holds, the first property that fails, and a hint.

    Offline, under two seconds. Arguments and errors as in `grade`.
    """
    print(grade(key, answer).text)


def _not_answered() -> str:
    """Raise NotAnswered where a value was expected."""
    raise NotAnswered


def _describe(error: Exception) -> str:
    """One line: what the reader's code raised, and in which of its own lines."""
    package = str(Path(__file__).resolve().parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(package)]
    own = [f for f in frames if "site-packages" not in f.filename and f.line]
    return f"it raised {type(error).__name__}: {error}" + (f" (at `{own[-1].line}`)" if own else "")


def differs(seen: Any, expected: Any, tolerance: float = 1e-9) -> bool:
    """True where two numbers or arrays differ in shape or by more than a tolerance (NaN always differs)."""
    seen, expected = np.asarray(seen), np.asarray(expected)
    if seen.shape != expected.shape:
        return True
    return not bool(np.all(np.abs(seen - expected) <= tolerance * (1.0 + np.abs(expected))))
