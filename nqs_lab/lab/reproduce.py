"""Shipped results by name: rebuild one beside the shipped copy, compare the numbers, and say whether they agree."""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nqs_lab.lab.shelf import Row, Shelf

DATA = Path(__file__).resolve().parent / "data"
NOT_COMPARED = ("provenance", "date", "command", "seconds", "step_seconds", "cpu_seconds")
"""What may differ between two machines: where and when a number was computed, and how long that took."""
START = 5
"""Steps over which two trainings from one seed must agree closely; later rounding errors grow like a change of seed."""


class Report(NamedTuple):
    """Whether a rebuilt result agrees with the shipped one, how many numbers were compared, and what was seen."""

    agrees: bool
    compared: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        verdict = "agrees with the shipped result" if self.agrees else "DOES NOT AGREE with the shipped result"
        return "\n".join([*self.lines, f"{verdict} ({self.compared} numbers compared)"])


@dataclass(frozen=True)
class Shipped:
    """One shipped result: its `name`, one line on `what` it is, the `minutes` on two cores, and two functions.

    `rebuild(out, only)` writes it into the folder `out` (of a shelf, those runs whose names hold all words of `only`);
    `compare(out)` holds it against the shipped one within `error`, in words.
    """

    name: str
    what: str
    minutes: float | int
    error: str
    rebuild: Callable[[Path, Sequence[str]], None]
    compare: Callable[[Path], Report]


def compare_json(shipped: Path, rebuilt: Path, *, tolerance: float | int) -> Report:
    """Every number of two JSON files within `tolerance`, absolute, and everything else equal.

    What NOT_COMPARED names is left out. Raises ValueError where there is nothing to compare.
    """
    left, right = (dict(_leaves(json.loads(path.read_text(encoding="utf-8")))) for path in (shipped, rebuilt))
    if not left:
        raise ValueError(f"{shipped.name} holds nothing to compare.")
    lines = [f"{key}: only in one of the two" for key in sorted(left.keys() ^ right.keys())][:5]
    worst, where, wrong = 0.0, "", []
    for key in left.keys() & right.keys():
        a, b = left[key], right[key]
        if _is_number(a) and _is_number(b):
            distance = _distance(a, b)
            if distance > worst:
                worst, where = distance, key
        elif a != b:
            wrong.append(f"{key}: {a!r} is shipped, {b!r} was rebuilt")
    lines += wrong[:5]
    agrees = not lines and worst <= tolerance
    lines.append(f"largest difference {worst:.1e}{f' at {where}' if where else ''}, allowed {tolerance:.0e}")
    return Report(agrees, len(left), tuple(lines))


class RunValue(NamedTuple):
    """What is compared of a run: log10 of its error, its case (all runs of a case differ by the seed), the standard
    error of that log10 where it was sampled, and the first energies of its learning curve where they were kept."""

    case: Hashable
    log_error: float
    noise: float = 0.0
    start: np.ndarray | None = None


def compare_runs(
    shipped: Mapping[str, RunValue],
    rebuilt: Mapping[str, RunValue],
    *,
    margin: float | int = 0.3,
    what: str = "log10 of the error",
) -> Report:
    """Every rebuilt run against the shipped run of the same name.

    The first START energies agree to 1e-5 (relative). The final log10 of the error agrees within the spread of the
    shipped seeds of that case (largest minus smallest), at least `margin`; a sampled one within 4 standard errors more.
    `what`: what the last number of a run is, where it is no such logarithm.
    Raises ValueError if nothing was rebuilt.
    """
    if not rebuilt:
        raise ValueError("no run was rebuilt; name one with --only")
    lines, agrees, count = [], True, 0
    for name, new in rebuilt.items():
        old = shipped.get(name)
        if old is None or old.case != new.case:
            lines.append(f"{name}: this setting was not shipped")
            agrees = False
            continue
        start = _start_difference(old, new)
        same_case = [run.log_error for run in shipped.values() if run.case == old.case]
        allowed = max(margin, max(same_case) - min(same_case)) + 4 * float(np.hypot(old.noise, new.noise))
        fine = abs(new.log_error - old.log_error) <= allowed and not start > 1e-5
        agrees, count = agrees and fine, count + 1
        early = "" if np.isnan(start) else f"first steps {start:.0e} (allowed 1e-05), "
        text = f"{early}{what} {new.log_error:.2f}, shipped {old.log_error:.2f}"
        lines.append(f"{name}: {text}, allowed difference {allowed:.2f}{'' if fine else '  <- differs'}")
    return Report(agrees, count, tuple(lines))


def shelf_values(
    shelf: Shelf[Any], log_error: Callable[[Row[Any]], float] | None = None, *, curve: str = "energy"
) -> dict[str, RunValue]:
    """The runs of a shelf as values; `log_error` reads log10 of a row's error (default: relative error of energy).

    `curve`: the array of the learning curve, whose first steps are compared.
    """
    found = {}
    for row in shelf.rows:
        case = tuple((k, v) for k, v in sorted(row.setting.as_dict().items()) if k != "seed")
        try:
            start = shelf.arrays(row)[curve][:START]
        except (FileNotFoundError, KeyError):
            start = None
        value = float(np.log10(row["relative_error"])) if log_error is None else log_error(row)
        noise = row.numbers.get("relative_error_error", 0.0)
        noise = noise / (row["relative_error"] * np.log(10)) if noise else 0.0
        found[f"{row.setting.name} ({_digest(case)})"] = RunValue(case, value, float(noise), start)
    return found


def _digest(case: Hashable) -> str:
    """A few letters that tell settings of one name apart."""
    return hashlib.sha256(repr(case).encode()).hexdigest()[:6]


def _start_difference(old: RunValue, new: RunValue) -> float:
    """Largest relative difference of the first energies; NaN where no learning curves were kept."""
    if old.start is None or new.start is None:
        return float("nan")
    return float(np.max(np.abs(new.start / old.start - 1)))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value of a JSON content with its place, without what is not compared."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in NOT_COMPARED:
                yield from _leaves(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}/{index}")
    else:
        yield path, value


def _distance(a: float | int, b: float | int) -> float:
    """|a - b|; zero for the same infinity or two NaN, infinite where only one of them is finite."""
    if np.isfinite(a) and np.isfinite(b):
        return abs(a - b)
    return 0.0 if repr(float(a)) == repr(float(b)) else float("inf")


def _is_number(value: Any) -> bool:
    """A number, and no bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
