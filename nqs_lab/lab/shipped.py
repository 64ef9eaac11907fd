"""The list of everything that is shipped because it takes longer than a reader should wait."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nqs_lab.lab.reproduce import DATA, START, Report, RunValue, Shipped, compare_json, compare_runs, shelf_values
from nqs_lab.lab.shelf import Row

LOSS = 0.02
"""Nats per token by which two trainings of a language model from one seed may differ: the margin of its comparison."""
EXACT = 1e-7
"""Absolute, for numbers from exact diagonalisation (rounded to 10 or 12 digits in the files)."""


def shipped_results() -> dict[str, Shipped]:
    """Every result that is there by its name, in the order of the lessons."""
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
        _runs("traps_4x4", "4x4: sign rules and the places where training stops", 15, _traps),
        _runs("comparison_tune", "4x4: learning rates and shifts for every attention type, 96 runs", 75, _comparison),
        _runs("comparison_grid", "4x4: the attention types at 11 couplings, five seeds, 225 runs", 150, _comparison),
        _runs("large_torus", "6x6: two attention types at three couplings, sampled, 30 minutes each", 200, _large),
        _runs("large_chains", "rings of 16, 32 and 64 sites, sampled, three seeds", 400, _large),
        _runs("large_sqrt20", "20 sites, summed over all configurations", 60, _large),
        _runs("dimer_runs", "4x4: networks trained on the dimer state", 10, _dimers),
        _runs("sentences_tune", "masked words: learning rates", 60, _sentences),
        _runs("sentences_grid", "masked words: three readers, two languages, sentences of 16 to 512", 60, _sentences),
        *(
            _runs(f"language_{name}_{corpus}", f"language models, {what}", minutes, _language, loss=True)
            for name, corpus, what, minutes in (
                ("tune", "grammar", "stories: learning rates, 36 runs or more", 45),
                ("grid", "grammar", "stories: GPT, Nesterov, momentum, five seeds, the witness, 63 runs", 80),
                ("tune", "docstrings", "docstrings: learning rates, 18 runs or more", 30),
                ("grid", "docstrings", "docstrings: GPT, Nesterov, momentum, three seeds, 37 runs", 55),
            )
        ),
    ]
    return {result.name: result for result in found if _is_there(result.name)}


def _is_there(name: str) -> bool:
    """Whether the file or the shelf of a result was shipped."""
    stem = name.replace("-", "_")
    return any((DATA / place).exists() for place in (f"{stem}.json", stem, f"{stem}_4x4.json"))


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


Values = Callable[[Path], Mapping[str, RunValue]]
Train = Callable[[Path, Sequence[str]], None]


def _runs(
    name: str,
    what: str,
    minutes: float | int,
    open_runs: Callable[[str], tuple[Values, Train]],
    *,
    loss: bool = False,
) -> Shipped:
    """Trained runs. `open_runs(name)`: what reads them from a folder, and what trains chosen ones into another.

    `loss`: they are judged by a loss in nats per token, within LOSS, and not by the logarithm of an error.
    """

    def rebuild(out: Path, only: Sequence[str]) -> None:
        open_runs(name)[1](out, only)

    def compare(out: Path) -> Report:
        values = open_runs(name)[0]
        if loss:
            return compare_runs(values(DATA), values(out), margin=LOSS, what="loss in nats per token")
        return compare_runs(values(DATA), values(out))

    words = "first energies to 1e-5, the final error within the spread of the shipped seeds"
    if loss:
        words = f"first losses to 1e-5, the final loss within the spread of the shipped seeds, or {LOSS} nats per token"
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


def _comparison(name: str) -> tuple[Values, Train]:
    """The tuning runs or the grid of the comparison."""
    from nqs_lab.lab.comparison.__main__ import fill, shelf

    kind = name.removeprefix("comparison_")

    def train(out: Path, only: Sequence[str]) -> None:
        settings = chosen([row.setting for row in shelf(kind).rows], only, shelf(kind).command)
        fill(shelf(kind, out), settings, look=kind == "grid", deadline=float("inf"))

    return lambda folder: shelf_values(shelf(kind, folder)), train


def _large(name: str) -> tuple[Values, Train]:
    """The runs beyond 4x4; unfinished ones are kept beside the finished."""
    from nqs_lab.lab.large.__main__ import fill, shelf
    from nqs_lab.lab.large.clock import Clock

    family = name.removeprefix("large_")

    def train(out: Path, only: Sequence[str]) -> None:
        settings = chosen([row.setting for row in shelf(family).rows], only, shelf(family).command)
        fill(shelf(family, out), settings, out / "unfinished", Clock(float("inf")))

    return lambda folder: shelf_values(shelf(family, folder)), train


def _sentences(name: str) -> tuple[Values, Train]:
    """The readers of lesson 09b; their error is the excess of the longest sentences, in nats."""
    from nqs_lab.lab.sentences.__main__ import fill, shelf

    kind = name.removeprefix("sentences_")

    def train(out: Path, only: Sequence[str]) -> None:
        settings = chosen([row.setting for row in shelf(kind).rows], only, shelf(kind).command)
        fill(shelf(kind, out), settings, keep=kind == "grid", deadline=float("inf"))

    def log_excess(row: Row[Any]) -> float:
        return math.log10(max(row["stages"][-1]["excess"], 1e-4))  # below that it is noise of the test sentences

    return lambda folder: shelf_values(shelf(kind, folder), log_excess), train


def _language(name: str) -> tuple[Values, Train]:
    """The language models of lesson 14; what is compared of them is the held-out loss, in nats per token."""
    from nqs_lab.lab.language_runs.__main__ import fill, shelf

    _, kind, corpus = name.split("_")

    def train(out: Path, only: Sequence[str]) -> None:
        place = shelf(kind, corpus)
        settings = chosen([row.setting for row in place.rows], only, place.command)
        fill(shelf(kind, corpus, out), settings, keep=kind == "grid", deadline=float("inf"))

    def values(folder: Path) -> dict[str, RunValue]:
        place = shelf(kind, corpus, folder)
        return shelf_values(place, lambda row: row["loss"], curve="curve")

    return values, train


def _traps(_: str) -> tuple[Values, Train]:
    """The runs of lesson 05."""
    from nqs_lab.lab import trap_results

    def values(folder: Path) -> dict[str, RunValue]:
        path = folder / trap_results.DATA.name
        runs = trap_results.read(path).runs if path.exists() else ()
        return {run.setting.name: _value(run.setting, run["relative_error"], run.energy) for run in runs}

    def train(out: Path, only: Sequence[str]) -> None:
        settings = chosen([run.setting for run in trap_results.load_traps().runs], only, trap_results.COMMAND)
        for run in trap_results.build(settings, out / trap_results.DATA.name):
            print(f"{run.setting.name}: relative error {run['relative_error']:.1e}", flush=True)

    return values, train


def _dimers(_: str) -> tuple[Values, Train]:
    """The networks of lesson 09 that were trained on the dimer state; their error is the infidelity."""
    from nqs_lab.lab import dimer_results as dimers

    def values(folder: Path) -> dict[str, RunValue]:
        runs = dimers.load_dimer_runs(folder) if (folder / dimers.INDEX).exists() else ()
        return {run.setting.name: _value(run.setting, run["infidelity"], run.energies) for run in runs}

    def train(out: Path, only: Sequence[str]) -> None:
        for setting in chosen([run.setting for run in dimers.load_dimer_runs()], only, dimers.COMMAND):
            dimers.main(["--out", str(out), "--name", setting.name])

    return values, train


def _value(setting: Any, error: float, energies: np.ndarray) -> RunValue:
    """A run of a lesson's own format."""
    case = tuple((k, v) for k, v in sorted(asdict(setting).items()) if k != "seed")
    return RunValue(case, math.log10(error), start=np.asarray(energies)[:START])


def chosen(settings: Sequence[Any], only: Sequence[str], command: str) -> list[Any]:
    """Those settings whose names hold all these words. Raises ValueError if there is none."""
    found = [setting for setting in settings if all(word in setting.name for word in only)]
    if not found:
        raise ValueError(f"no shipped run has {' and '.join(only) or 'a name'}; runs are made by: {command}")
    return found
