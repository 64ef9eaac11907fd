"""Shipped results by name: rebuild one beside the shipped copy, compare the numbers, and say whether they agree."""

import json
from collections.abc import Callable, Iterator, Sequence
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


def compare_shelves(shipped: Shelf[Any], rebuilt: Shelf[Any], *, margin: float | int = 0.3) -> Report:
    """Every rebuilt run against the shipped run of the same setting.

    The first START energies agree to 1e-5 (relative). The final log10 of the relative error agrees within the spread of
    the shipped seeds of that case (largest minus smallest), at least `margin`; a sampled energy within 4 sigma more.
    Raises ValueError if nothing was rebuilt.
    """
    if not rebuilt.rows:
        raise ValueError(f"no run was rebuilt in {rebuilt.folder.name}; name one with --only")
    lines, agrees, count = [], True, 0
    for row in rebuilt.rows:
        old = shipped.find(row.setting)
        if old is None:
            lines.append(f"{row.setting.name}: this setting is not on the shipped shelf")
            agrees = False
            continue
        start = _start_difference(shipped, old, rebuilt, row)
        allowed = max(margin, _seed_spread(shipped, old)) + _noise(old, row)
        final = abs(_log_error(row) - _log_error(old))
        fine = final <= allowed and not start > 1e-5
        agrees, count = agrees and fine, count + 1 + START
        early = "" if np.isnan(start) else f"first steps {start:.0e} (allowed 1e-05), "
        text = f"{early}log10 of the relative error {_log_error(row):.2f}, shipped {_log_error(old):.2f}"
        lines.append(f"{row.setting.name}: {text}, allowed difference {allowed:.2f}{'' if fine else '  <- differs'}")
    return Report(agrees, count, tuple(lines))


def _start_difference(shipped: Shelf[Any], old: Row[Any], rebuilt: Shelf[Any], new: Row[Any]) -> float:
    """Largest relative difference of the first energies; NaN where no learning curves were kept."""
    try:
        curves = [place.arrays(row)["energy"][:START] for place, row in ((shipped, old), (rebuilt, new))]
    except (FileNotFoundError, KeyError):
        return float("nan")
    return float(np.max(np.abs(curves[1] / curves[0] - 1)))


def _log_error(row: Row[Any]) -> float:
    """log10 of the relative error of the energy."""
    return float(np.log10(row["relative_error"]))


def _seed_spread(shelf: Shelf[Any], row: Row[Any]) -> float:
    """Largest minus smallest log10 of the relative error over the seeds of this case, 0 for one seed."""
    case = {k: v for k, v in row.setting.as_dict().items() if k != "seed"}
    values = [_log_error(other) for other in shelf.select(**case)]
    return max(values) - min(values)


def _noise(*rows: Row[Any]) -> float:
    """Four standard errors of log10 of the relative errors, where they were sampled."""
    parts = [row.numbers.get("relative_error_error", 0.0) / (row["relative_error"] * np.log(10)) for row in rows]
    return float(4 * np.hypot(*parts))


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
