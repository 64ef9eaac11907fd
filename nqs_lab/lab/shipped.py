"""The list of everything that is shipped because it takes longer than a reader should wait."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nqs_lab.lab.reproduce import DATA, Report, Shipped, compare_json, compare_shelves
from nqs_lab.lab.shelf import Shelf

EXACT = 1e-7
"""Absolute, for numbers from exact diagonalisation (rounded to 10 or 12 digits in the files)."""


def shipped_results() -> dict[str, Shipped]:
    """Every shipped result by its name, in the order of the lessons."""
    found = [_table("j2-scan", "4x4 torus: energies, gaps, correlations, sign weights at 101 couplings", 4, _j2_scan)]
    found += [
        _table(f"sectors-{name}", f"{name}: lowest levels of every symmetry sector", minutes, _sectors)
        for name, minutes in (("4x4", 1), ("ring16", 1), ("18", 2), ("20", 4), ("4x6", 15))
    ]
    found += [
        _table(f"orders-{name}", f"{name}: correlations, sign weights, entanglement", minutes, _orders)
        for name, minutes in (("4x4", 1), ("4x6", 2))
    ]
    found += [
        _runs("comparison_tune", "4x4: learning rates and shifts for every attention type, 54 runs", 40, _comparison),
        _runs("comparison_grid", "4x4: the attention types at 11 couplings, five seeds, 225 runs", 150, _comparison),
    ]
    return {result.name: result for result in found}


def result(name: str) -> Shipped:
    """One shipped result. Raises ValueError naming those that exist."""
    found = shipped_results()
    if name not in found:
        raise ValueError(f"there is no shipped result {name!r}; choose from {', '.join(found)}.")
    return found[name]


def _table(name: str, what: str, minutes: float | int, build: Callable[[str, Path], None]) -> Shipped:
    """A JSON file of exact numbers, `<name>.json` beside the others."""
    file = "j2_scan_4x4.json" if name == "j2-scan" else f"{name.replace('-', '_')}.json"

    def rebuild(out: Path, only: Sequence[str]) -> None:
        if only:
            raise ValueError(f"{name} is rebuilt as a whole; leave out --only.")
        build(name.partition("-")[2], out / file)

    def compare(out: Path) -> Report:
        return compare_json(DATA / file, out / file, tolerance=EXACT)

    return Shipped(name, what, minutes, f"every number within {EXACT:.0e}", rebuild, compare)


def _runs(
    name: str, what: str, minutes: float | int, shelf: Callable[[str, Path], tuple[Shelf[Any], Callable]]
) -> Shipped:
    """A shelf of trained runs; `shelf(name, folder)` returns it with a function that fills it with chosen runs."""

    def rebuild(out: Path, only: Sequence[str]) -> None:
        shelf(name, out)[1](only)

    def compare(out: Path) -> Report:
        return compare_shelves(shelf(name, DATA)[0], shelf(name, out)[0])

    words = "first energies to 1e-5, the final error within the spread of the shipped seeds"
    return Shipped(name.replace("_", "-"), what, minutes, words, rebuild, compare)


def _j2_scan(_: str, path: Path) -> None:
    """Write the scan of the 4x4 torus."""
    from nqs_lab.lab import results

    results.main(["j2-scan", "--out", str(path)])


def _sectors(cluster: str, path: Path) -> None:
    """Write the levels of one cluster."""
    from nqs_lab.lab import sector_results

    sector_results.main([cluster, "--out", str(path)])


def _orders(cluster: str, path: Path) -> None:
    """Write the orders of one cluster."""
    from nqs_lab.lab import order_results

    order_results.main([cluster, "--out", str(path)])


def _comparison(name: str, folder: Path) -> tuple[Shelf[Any], Callable]:
    """The tuning runs or the grid of the comparison, and how to train some of them."""
    from nqs_lab.lab.comparison.__main__ import fill, shelf

    kind = name.removeprefix("comparison_")
    place = shelf(kind, folder)

    def train(only: Sequence[str]) -> None:
        fill(place, chosen(shelf(kind, DATA), only), look=kind == "grid", seconds=float("inf"))

    return place, train


def chosen(shelf: Shelf[Any], only: Sequence[str]) -> list[Any]:
    """The settings of the shipped runs whose names hold all these words. Raises ValueError if there is none."""
    settings = [row.setting for row in shelf.rows if all(word in row.setting.name for word in only)]
    if not settings:
        raise ValueError(
            f"no shipped run of {shelf.folder.name} has {' and '.join(only) or 'any name'} in its name; "
            f"they are made by: {shelf.command}"
        )
    return settings
