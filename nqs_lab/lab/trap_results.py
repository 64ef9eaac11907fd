"""Shipped: networks trained on the 4x4 torus with and without a sign rule, by exact sums and from samples.

python -m nqs_lab.lab.trap_results    # 123 runs, half an hour on two busy cores; writes nqs_lab/lab/data/traps_4x4.*
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

import nqs_lab as nl
from nqs_lab.lab import trap_settings as settings
from nqs_lab.lab.comparison.setting import problem
from nqs_lab.lab.comparison.training import sign_accuracy
from nqs_lab.lab.signs import judge_signs
from nqs_lab.lab.trap_settings import Setting, make_model, make_vmc
from nqs_lab.lab.weights import flat_weights, with_flat_weights
from nqs_lab.store import provenance

FORMAT = "nqs_lab-traps-1"
COMMAND = "python -m nqs_lab.lab.trap_results"
DATA = Path(__file__).resolve().parent / "data" / "traps_4x4.json"
LAST = 20
"""Steps at the end of a run whose median is what it says of its energy and variance."""


@dataclass(frozen=True)
class Run:
    """A finished run: its setting, numbers, energy and variance per step as it saw them, and its trained weights.

    Energies and variances are totals (units of J1 and J1^2). Numbers over the whole basis: "energy", "variance",
    "infidelity", "sign_accuracy", "crowd" (configurations that hold 99.9 % of the weight), "classes" (of
    nqs_lab.lab.signs); as the run itself saw them, the median of its last 20 steps: "energy_seen", "variance_seen".
    """

    setting: Setting
    numbers: dict[str, Any]
    provenance: dict[str, Any]
    energy: Float[np.ndarray, " steps"]
    variance: Float[np.ndarray, " steps"]
    weights: Float[np.ndarray, " P"]

    def __getitem__(self, name: str) -> Any:
        return self.numbers[name]

    def model(self) -> nl.AbstractAnsatz:
        """The trained network, its sign rule around it."""
        return with_flat_weights(make_model(self.setting), self.weights, self.setting.name)


@dataclass(frozen=True)
class Runs:
    """All shipped runs, and what the file says about itself."""

    runs: tuple[Run, ...]
    provenance: dict[str, Any]

    def select(self, **wanted: Any) -> list[Run]:
        """The runs whose settings have these values, ordered by seed: select(network="RBM 4", j2=0.5, sign="neel").

        Raises ValueError if there is none: nothing is interpolated.
        """
        found = [run for run in self.runs if all(getattr(run.setting, k) == v for k, v in wanted.items())]
        if not found:
            raise ValueError(f"no run with {wanted} was shipped; see nqs_lab.lab.trap_settings.all_settings()")
        return sorted(found, key=lambda run: run.setting.seed)


def train(setting: Setting) -> Run:
    """Train one network and judge it over the whole basis."""
    magnet, vmc = problem(setting.j2), make_vmc(setting)
    history, start = nl.History(), time.perf_counter()
    state = vmc.init(make_model(setting), key=jax.random.key(setting.seed))
    state = nl.run(vmc, state, setting.steps, callbacks=[history], on_interrupt="raise")
    seconds = time.perf_counter() - start
    numbers = judge(state.model, setting.j2) | {
        "energy_seen": float(np.median(history["energy"][-LAST:])),
        "variance_seen": float(np.median(history["variance"][-LAST:])),
        "lowest_seen": float(np.min(history["energy"])),
        "parameters": nl.count_parameters(state.model),
        "not_finite": int(np.sum(history["finite"] == 0)),
        "seconds": round(seconds, 1),
        "exact": magnet.ground.energy,
    }
    weights = flat_weights(state.model)
    return Run(setting, numbers, provenance(), history["energy"], history["variance"], weights)


def judge(model: nl.AbstractAnsatz, j2: float) -> dict[str, Any]:
    """What the exact vector says about a state: numbers over all configurations of the basis."""
    magnet = problem(j2)
    psi = nl.state_vector(model, magnet.basis)
    h_psi = nl.matrix(magnet.ham, magnet.basis) @ psi
    energy = float(np.vdot(psi, h_psi).real)
    weight = np.sort(np.abs(psi) ** 2)[::-1]
    return {
        "energy": energy,
        "variance": float(np.linalg.norm(h_psi - energy * psi) ** 2),
        "relative_error": float(1 - energy / magnet.ground.energy),
        "infidelity": float(1 - nl.fidelity(psi, magnet.ground.state)),
        "sign_accuracy": sign_accuracy(psi, magnet),
        "crowd": int(np.searchsorted(np.cumsum(weight), 0.999) + 1),
        "classes": judge_signs(psi, magnet).as_dict(),
    }


# ---------------------------------------------------------------------- the files


def load_traps() -> Runs:
    """The shipped runs."""
    return read(DATA)


def read(path: Path) -> Runs:
    """The runs of a file and of the arrays beside it; ValueError for another format."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise ValueError(f"expected a file of format {FORMAT}, got {content.get('format')}; rebuild it with: {COMMAND}")
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        runs = []
        for row in content["runs"]:
            setting = Setting(**row["setting"])
            energy, variance, weights = (arrays[f"{setting.name}/{kind}"] for kind in ("energy", "variance", "weights"))
            runs.append(Run(setting, row["numbers"], row["provenance"], energy, variance, weights))
    return Runs(tuple(runs), {k: v for k, v in content.items() if k != "runs"})


def write(runs: Sequence[Run], path: Path) -> None:
    """Numbers as JSON, one run per line; curves in single and weights in full precision beside it."""
    head = {"format": FORMAT, "command": COMMAND, "configuration": settings.CONFIGURATION}
    rows = [{"setting": asdict(r.setting), "numbers": r.numbers, "provenance": r.provenance} for r in runs]
    arrays = {}
    for run in runs:
        arrays[f"{run.setting.name}/energy"] = run.energy.astype(np.float32)
        arrays[f"{run.setting.name}/variance"] = run.variance.astype(np.float32)
        arrays[f"{run.setting.name}/weights"] = run.weights
    np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, **arrays)
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    path.write_text(f'{json.dumps(head, indent=1)[:-2]},\n "runs": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def build(todo: Sequence[Setting], path: Path, *, progress: bool = False) -> Iterator[Run]:
    """Train what `path` does not hold yet; the file is written after every run, so that a stopped build goes on."""
    done = {run.setting: run for run in read(path).runs} if path.exists() else {}
    for setting in tqdm(todo, disable=not progress):
        if setting not in done:
            done[setting] = train(setting)
            write([done[s] for s in todo if s in done], path)
        yield done[setting]


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild the shipped runs from the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Train the networks of notebook 05.")
    parser.add_argument("--out", type=Path, default=DATA, help="the JSON file to write (default: the shipped one)")
    parser.add_argument("--fresh", action="store_true", help="train everything anew, also what the file holds")
    chosen = parser.parse_args(arguments)
    nl.enable_x64()
    if chosen.fresh:
        chosen.out.unlink(missing_ok=True)
    runs = list(build(settings.all_settings(), chosen.out, progress=True))
    print(f"wrote {len(runs)} runs to {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
