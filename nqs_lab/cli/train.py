"""nqs-lab train: one run from a Hamiltonian to a trained Transformer, which survives Ctrl-C and power cuts."""

import argparse
import csv
import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

import nqs_lab as nl
from nqs_lab.cli.main import INTERRUPTED
from nqs_lab.spins.known import SIX_BY_SIX as SIX_BY_SIX, known_energy
from nqs_lab.store import provenance

SETTINGS, CHECKPOINT, HISTORY, RESULT = "settings.json", "checkpoint.npz", "history.csv", "result.json"
FULL_SUM_UP_TO, EXACT_UP_TO = 16, 20  # sites: summation over all configurations, and exact answers, in seconds
RATE, DIAG_SHIFT, CHAINS = 0.1, 1e-3, 1024


def train(args: argparse.Namespace) -> int:
    """Start or resume a run; 0 when it is finished, 130 when Ctrl-C stopped it (with everything kept)."""
    settings, folder = _settings(args)
    started = (folder / CHECKPOINT).exists()
    if started and args.resume is None:
        raise ValueError(f"{folder} holds a run already: go on with --resume {folder}, or choose another --out")
    nl.enable_x64()
    nl.use_cores()
    problem = Problem(settings)
    print(problem.text(), flush=True)
    history = nl.History()
    state = problem.vmc.init(problem.model, key=problem.key)
    if started:
        state = nl.resume(folder / CHECKPOINT, problem.vmc, state, callbacks=[history, nl.ProgressBar()])
        print(f"going on after step {int(state.step)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(settings | {"provenance": provenance()}, indent=1), encoding="utf-8")
    callbacks = [
        history,
        nl.ProgressBar(reference=problem.reference),
        nl.Checkpoint(folder / CHECKPOINT, every=args.every),
    ]
    todo = max(0, settings["steps"] - int(state.step))
    try:
        state = nl.run(problem.vmc, state, todo, callbacks=callbacks, on_interrupt="raise")
    except KeyboardInterrupt:
        _write_history(folder / HISTORY, history)
        print(f"\nstopped after step {len(history)} of {settings['steps']}, all kept. To go on:\n"
              f"  nqs-lab train --resume {folder}", file=sys.stderr)  # fmt: skip
        return INTERRUPTED
    _write_history(folder / HISTORY, history)
    return _report(problem, state, history, folder)


class Problem:
    """What the settings stand for: lattice, Hamiltonian, network, sampler and optimiser."""

    def __init__(self, settings: dict[str, Any]):
        import jax

        self.settings = settings
        self.lattice = _lattice(settings["lattice"])
        self.ham = nl.j1j2(self.lattice, j2=settings["j2"])
        weights, self.key = jax.random.split(jax.random.key(settings["seed"]))
        names = ("patch", "width", "heads", "depth", "attention")
        model = nl.ViT(self.lattice, **{name: settings[name] for name in names}, key=weights)
        self.model = nl.MarshallSign(model, self.lattice) if settings["marshall"] else model
        self.reference = _reference(self.lattice, self.ham, settings)
        optimiser = nl.imaginary_time(settings["rate"], settings["steps"])
        self.vmc = nl.VMC(self.ham, self._sampler(), nl.SR(diag_shift=DIAG_SHIFT), optimiser)

    def _sampler(self):
        """Markov chains, or the sum over one configuration per orbit of the translations by a patch."""
        if self.settings["samples"] is not None:
            return nl.ExchangeSampler(self.ham, n_chains=self.settings["samples"])
        group = self.lattice.translations(step=self.settings["patch"])
        return nl.ExactSampler(nl.SpinBasis(self.lattice), group=group)

    def text(self) -> str:
        """The run in three lines."""
        s, n = self.settings, self.lattice.n_sites
        how = "sum over all configurations" if s["samples"] is None else f"{s['samples']} samples a step"
        exact = "not known here" if self.reference is None else f"{self.reference / n:.6f}"
        return (
            f"{s['lattice']} lattice, J2 = {s['j2']:g}; exact energy per site (units of J1): {exact}\n"
            f"{s['attention']} attention, {nl.count_parameters(self.model):,} parameters, patch {s['patch']}, width "
            f"{s['width']}, {s['heads']} heads, depth {s['depth']}\n{s['steps']} steps, {how}, seed {s['seed']}"
        )


def _settings(args: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """All settings of the run and its folder; those of a resumed run come from its folder."""
    if args.resume is not None:
        file = args.resume / SETTINGS
        if not file.exists():
            raise ValueError(f"{args.resume} holds no run (expected {SETTINGS} in it): give the folder of a run")
        settings = json.loads(file.read_text(encoding="utf-8"))
        return settings | ({} if args.steps is None else {"steps": positive("--steps", args.steps)}), args.resume
    if args.full_sum and args.samples is not None:
        raise ValueError("--full-sum needs no samples: give --samples or --full-sum, not both")
    sites = _lattice(args.lattice).n_sites
    full = args.full_sum or (args.samples is None and sites <= FULL_SUM_UP_TO)
    settings = {
        "lattice": args.lattice,
        "j2": args.j2,
        "attention": args.attention,
        "patch": args.patch if args.patch is not None else (1 if sites <= FULL_SUM_UP_TO else 2),
        "width": args.width,
        "heads": args.heads,
        "depth": args.depth,
        "steps": positive("--steps", 150 if args.steps is None else args.steps),
        "samples": None if full else positive("--samples", args.samples or CHAINS),
        "rate": args.rate if args.rate is not None else RATE,
        "marshall": not args.no_marshall,
        "seed": args.seed,
    }
    if not (math.isfinite(settings["rate"]) and settings["rate"] > 0):
        raise ValueError(f"--rate must be a positive number, got {args.rate}")
    positive("--every", args.every)
    name = f"{args.lattice}-j2_{args.j2:g}-{args.attention}-seed{args.seed}"
    return settings, args.out or Path("runs") / name


def _lattice(text: str) -> nl.Lattice:
    """4x6 -> a torus, 16 -> a ring."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if found is None:
        raise ValueError(f"expected a lattice like 4x4 (a torus) or 16 (a ring), got {text!r}")
    first, second = int(found[1]), found[2]
    return nl.chain(first) if second is None else nl.rectangle(first, int(second))


def _reference(lattice: nl.Lattice, ham: nl.Heisenberg, settings: dict[str, Any]) -> float | None:
    """The exact total energy, if it is quick or known."""
    if lattice.n_sites <= EXACT_UP_TO:
        return nl.ground_state(ham, nl.SpinBasis(lattice)).energy
    return known_energy(lattice, settings["j2"])


def positive(name: str, value: int) -> int:
    """The value, if it is at least 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def _write_history(file: Path, history: nl.History) -> None:
    """One row per step, for any spreadsheet."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(history.FIELDS)
        writer.writerows(zip(*(history[name].tolist() for name in history.FIELDS), strict=True))


def _report(problem: Problem, state: nl.VMCState, history: nl.History, folder: Path) -> int:
    """Measure the trained state with fresh samples, print it and keep it; 1 if the run ended with non-finite steps."""
    start, sites = time.perf_counter(), problem.lattice.n_sites
    stats = nl.measure(problem.vmc, state)
    energy = stats.mean.real
    result = {
        "steps": int(state.step),
        "energy": energy,
        "energy_per_site": energy / sites,
        "error_per_site": stats.error / sites,
        "variance": stats.variance,
        "exact_energy": problem.reference,
        "relative_error": None if problem.reference is None else abs(energy / problem.reference - 1),
        "training_seconds": float(history["seconds"].sum()),
        "measuring_seconds": time.perf_counter() - start,
    }
    (folder / RESULT).write_text(json.dumps(result | {"provenance": provenance()}, indent=1), encoding="utf-8")
    spread = f" +- {stats.error / sites:.1e} J1 (from fresh samples)" if stats.error else " J1 (summed, not sampled)"
    print(f"energy per site {energy / sites:.6f}{spread}, variance of the total energy {stats.variance:.2e}")
    if problem.reference is not None:
        print(f"relative error {result['relative_error']:.1e} (exact {problem.reference / sites:.6f})")
    print(f"everything is in {folder}; more steps: nqs-lab train --resume {folder} --steps {2 * result['steps']}")
    return 0 if int(state.rejected) == 0 else 1
