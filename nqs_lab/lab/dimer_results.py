"""Shipped: small ViTs trained on the Shastry-Sutherland dimer state; load them, or rebuild them.

python -m nqs_lab.lab.dimer_results    # resumes; twelve minutes of processor time; writes lab/data/dimer_runs.*
"""

import argparse
import functools
import io
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

import nqs_lab as nl
from nqs_lab.ansatz.dimer_network import dimer_amplitudes
from nqs_lab.lab.maps import network, relative_statistics
from nqs_lab.lab.notebook import seeds
from nqs_lab.store import provenance

FORMAT = "nqs_lab-dimer-runs-1"
COMMAND = "python -m nqs_lab.lab.dimer_results"
FOLDER = Path(__file__).resolve().parent / "data"
INDEX, WEIGHTS = "dimer_runs.json", "dimer_runs.npz"
J, J_DIMER = 0.5, 1.0
WIDTH, HEADS, DEPTH = 8, 1, 1


@dataclass(frozen=True)
class DimerSetting:
    """One training run on the 4x4 torus with 2x2 patches, one block, one head, by full summation.

    `sign`: "none", or "stripe" for the sign rule that the dimer state obeys. `rate`: imaginary time of a step, in units
    of 1/J_dimer; `steps`: length of the run, which the decay of the rate spans.
    """

    attention: str
    sign: str
    seed: int
    steps: int = 150
    rate: float = 0.2
    diag_shift: float = 1e-3

    @property
    def name(self) -> str:
        """A name for tables and files."""
        return f"{self.attention}-{self.sign}-seed{self.seed}"


@dataclass(frozen=True)
class DimerRun:
    """A finished run.

    `numbers`: energy (total, in units of J_dimer), variance, infidelity with the dimer state, parameters, steps and
    seconds. `energies` before each step. `map_mean`, `map_deviation`: attention weights by displacement, over |psi|^2.
    `weights`: all parameters, float32.
    """

    setting: DimerSetting
    numbers: dict[str, Any]
    energies: Float[np.ndarray, " steps"]
    map_mean: Float[np.ndarray, " n"]
    map_deviation: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " P"]
    provenance: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.numbers[name]


def settings() -> tuple[DimerSetting, ...]:
    """Every shipped run: factored attention without and with the sign rule, t5 without, three seeds each."""
    cases = (("factored", "none"), ("factored", "stripe"), ("t5", "none"))
    return tuple(DimerSetting(attention, sign, seed) for attention, sign in cases for seed in seeds(3))


@functools.cache
def _optimiser(rate: float, steps: int):
    """One object for equal arguments, so that equal programs are compiled once."""
    return nl.imaginary_time(rate, steps)


@functools.cache
def _sampler() -> nl.ExactSampler:
    """All representatives of the translations by a patch: by one site the model is not symmetric."""
    lattice, _, basis, _ = _magnet()
    return nl.ExactSampler(basis, group=lattice.translations(step=2))


@functools.cache
def _magnet() -> tuple[nl.Lattice, nl.Heisenberg, nl.SpinBasis, np.ndarray]:
    """Lattice, Hamiltonian, Sz = 0 basis, and the exact dimer state on it."""
    lattice = nl.square(4)
    basis = nl.SpinBasis(lattice)
    ham = nl.shastry_sutherland(lattice, j=J, j_dimer=J_DIMER)
    return lattice, ham, basis, dimer_amplitudes(basis.configurations(), lattice)


def untrained(setting: DimerSetting) -> nl.AbstractAnsatz:
    """The network before training; one seed gives both kinds of attention the weights that they share."""
    lattice, key = nl.square(4), jax.random.key(setting.seed)
    model = nl.ViT(lattice, patch=2, width=WIDTH, heads=HEADS, depth=DEPTH, attention=setting.attention, key=key)
    return model if setting.sign == "none" else nl.MarshallSign(model, lattice, order=setting.sign)


def trained(run: DimerRun) -> nl.AbstractAnsatz:
    """The network of a finished run, from its stored weights."""
    params, rest = eqx.partition(untrained(run.setting), eqx.is_inexact_array)
    flat, unravel = ravel_pytree(params)
    return eqx.combine(unravel(jnp.asarray(run.weights, flat.dtype)), rest)


def infidelity(model: nl.AbstractAnsatz) -> float:
    """1 - |<dimer state|model>|^2 on the 4x4 torus."""
    _, _, basis, exact = _magnet()
    return 1 - nl.fidelity(nl.state_vector(model, basis), exact)


def train(setting: DimerSetting, *, stop: int | None = None) -> DimerRun:
    """Train one network (only the first `stop` steps of its schedule if given) and judge it by the exact state."""
    optimiser = _optimiser(setting.rate, setting.steps)
    vmc = nl.VMC(_magnet()[1], _sampler(), nl.SR(diag_shift=setting.diag_shift), optimiser)
    start, history = time.perf_counter(), nl.History()
    state = vmc.init(untrained(setting), key=jax.random.key(setting.seed))
    state = nl.run(vmc, state, stop or setting.steps, callbacks=[history], on_interrupt="raise")
    seconds, stats = time.perf_counter() - start, nl.measure(vmc, state)
    # A state carries the amplitudes that its last step started from: weigh them anew.
    samples = eqx.filter_jit(vmc.sampler.step)(state.model, state.samples, chunk_size=vmc.chunks(state.model)[0])
    mean, deviation = relative_statistics(state.model, samples)
    numbers = {
        "energy": stats.mean.real,
        "variance": stats.variance,
        "infidelity": infidelity(state.model),
        "parameters": nl.count_parameters(state.model),
        "steps": int(state.step),
        "not_finite": int(np.sum(history["finite"] == 0)),
        "seconds": round(seconds, 1),
    }
    weights = np.asarray(ravel_pytree(eqx.filter(state.model, eqx.is_inexact_array))[0])
    return DimerRun(setting, numbers, history["energy"], mean[0, 0], deviation[0, 0], weights, provenance())


def table(run: DimerRun) -> Float[np.ndarray, " n"]:
    """The learnt position table of the only head, by displacement, from the stored weights."""
    mixer = network(trained(run)).blocks[0].mixer
    return np.asarray(mixer.positions.table[0], dtype=float)  # pyright: ignore[reportAttributeAccessIssue]


def load_dimer_runs(folder: Path = FOLDER, **wanted: Any) -> tuple[DimerRun, ...]:
    """The shipped runs whose settings have these values: load_dimer_runs(attention="factored", sign="none").

    Raises ValueError for a file of another format.
    """
    found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if found.get("format") != FORMAT:
        raise ValueError(f"expected a file of format {FORMAT}, got {found.get('format')}; rebuild it with {COMMAND}")
    runs = []
    with np.load(folder / WEIGHTS, allow_pickle=False) as weights:
        for row in found["runs"]:
            setting = DimerSetting(**row["setting"])
            if all(getattr(setting, name) == value for name, value in wanted.items()):
                arrays = {name: np.array(row[name]) for name in ("energies", "map_mean", "map_deviation")}
                origin = found["provenance"][row["origin"]] | {"date": row["date"]}
                runs.append(
                    DimerRun(setting, row["numbers"], weights=weights[setting.name], provenance=origin, **arrays)
                )
    return tuple(runs)


def write_dimer_runs(runs: Sequence[DimerRun], folder: Path) -> None:
    """Write index and weights, each as a whole; one run a line, an origin that several runs share written once."""
    origins: list[dict[str, Any]] = []
    lines = []
    for run in runs:
        origin = {k: v for k, v in run.provenance.items() if k != "date"}
        if origin not in origins:
            origins.append(origin)
        arrays = {name: np.round(getattr(run, name), 8).tolist() for name in ("energies", "map_mean", "map_deviation")}
        head = {"setting": asdict(run.setting), "numbers": run.numbers, "date": run.provenance.get("date")}
        lines.append("  " + json.dumps(head | {"origin": origins.index(origin)} | arrays))
    text = "H = J sum_<ij> S_i.S_j + J_dimer sum_dimers S_i.S_j, J = 0.5, J_dimer = 1, spins 1/2, 4x4 torus, totals"
    head = json.dumps(
        {"format": FORMAT, "command": COMMAND, "hamiltonian": text, "provenance": origins}, indent=1
    )  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{run.setting.name: run.weights for run in runs})
    body = ",\n".join(lines)
    contents = {WEIGHTS: buffer.getvalue(), INDEX: f'{head[:-2]},\n "runs": [\n{body}\n ]\n}}\n'.encode()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        partial = folder / f".{name}.partial"
        partial.write_bytes(data)
        os.replace(partial, folder / name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the runs that a folder does not hold yet."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Rebuild the networks trained on the dimer state.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder (default: the shipped one)")
    parser.add_argument("--again", action="store_true", help="train all of them anew")
    parser.add_argument("--name", help="only this run, for example factored-none-seed11")
    chosen = parser.parse_args(arguments)
    nl.enable_x64()
    kept = {} if chosen.again or not (chosen.out / INDEX).exists() else _by_name(load_dimer_runs(chosen.out))
    wanted = [setting for setting in settings() if chosen.name in (None, setting.name)]
    if not wanted:
        parser.error(f"the runs are {', '.join(setting.name for setting in settings())}; got {chosen.name!r}")
    for setting in wanted:
        if setting.name in kept and kept[setting.name].setting == setting:
            continue
        run = kept[setting.name] = train(setting)
        print(f"{setting.name}: E/N = {run['energy'] / 16:.6f} J_dimer, infidelity {run['infidelity']:.2e}", flush=True)
        write_dimer_runs([kept[s.name] for s in settings() if s.name in kept], chosen.out)
    print(f"wrote {chosen.out / INDEX}")
    return 0


def _by_name(runs: Sequence[DimerRun]) -> dict[str, DimerRun]:
    """Runs by the names of their settings."""
    return {run.setting.name: run for run in runs}


if __name__ == "__main__":
    sys.exit(main())
