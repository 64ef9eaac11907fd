"""The demo: queries and keys against positions alone on the 4x4 torus, judged by the exact answer."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

import nqs_lab as nl
from nqs_lab.lab.maps import attention_statistics, relative_rows
from nqs_lab.lab.notebook import style
from nqs_lab.lab.plots import attention_map, convergence
from nqs_lab.spins.observables import expectation, fidelity
from nqs_lab.store import provenance

J2, SIDE = 0.5, 4
RATE, DIAG_SHIFT = 0.1, 1e-3
KINDS = ("t5", "decoupled", "factored", "dot-product")
NOTES = {
    "t5": "softmax of content + position",
    "decoupled": "softmax of content, + position",
    "factored": "position alone",
    "dot-product": "content alone (control)",
}


@dataclass(frozen=True)
class Outcome:
    """One trained network: energies are totals in units of J1, `rows` the mean map over displacements."""

    kind: str
    energy: float
    relative_error: float
    infidelity: float
    parameters: int
    seconds: float
    energies: Float[np.ndarray, " steps"]
    rows: Float[np.ndarray, "depth h n"]
    spread: float


def run_demo(*, quick: bool, out: Path, seed: int) -> int:
    """Train the four networks alike, print the table, save figure and numbers under `out`; 130 after Ctrl-C."""
    start, steps = time.perf_counter(), 25 if quick else 100
    lattice = nl.square(SIDE)
    ham, basis = nl.j1j2(lattice, j2=J2), nl.SpinBasis(lattice)
    ground = nl.ground_state(ham, basis)
    floor = content_floor(lattice, ham, basis)
    n = lattice.n_sites
    print(f"J1-J2 model on the {SIDE}x{SIDE} torus, J2 = {J2} J1, {basis.dim:,} configurations with Sz = 0")
    print(
        f"exact ground state: E/N = {ground.energy / n:.6f} J1 (exact diagonalisation, residual {ground.residual:.0e})"
    )
    print(f"content alone cannot go below E/N = {floor / n:.6f} J1: without positions psi is constant up to its sign")
    print(f"{steps} steps each, every configuration summed, no sampling noise\n", flush=True)
    vmc = nl.VMC(
        ham,
        nl.ExactSampler(basis, group=lattice.translations(step=1)),
        nl.SR(diag_shift=DIAG_SHIFT),
        nl.imaginary_time(RATE, steps),
    )
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        for kind in KINDS:
            outcomes.append(_train(kind, vmc, ground, steps, seed, quick))
    except KeyboardInterrupt:
        interrupted = True
        print("\nstopped; what is finished is kept")
    if outcomes:
        print(table(outcomes, ground.energy / n, n))
        _save(outcomes, ground.energy, {"steps": steps, "seed": seed, "floor": floor, "quick": quick}, out)
        print(f"\nfigure: {out / 'demo.png'}\nnumbers: {out / 'demo.json'}")
    print(f"{time.perf_counter() - start:.0f} s in all")
    return 130 if interrupted else 0


def content_floor(lattice: nl.Lattice, ham: nl.Heisenberg, basis: nl.SpinBasis) -> float:
    """Energy of the uniform state with the Marshall sign: the only state of content-only attention with 1x1 patches."""
    sign = np.where((basis.configurations() > 0)[:, lattice.order("neel") > 0].sum(1) % 2, -1.0, 1.0)
    return expectation(ham, sign / np.sqrt(basis.dim), basis)


def _train(kind: str, vmc: nl.VMC, ground: Any, steps: int, seed: int, quick: bool) -> Outcome:
    """Train one network from the shared seed and compare its state with the exact one."""
    lattice = ground.basis.lattice
    network = nl.ViT(
        lattice,
        patch=1,
        width=8 if quick else 16,
        heads=4,
        depth=1 if quick else 2,
        attention=kind,
        key=jax.random.key(seed),
    )
    start = time.perf_counter()
    state = vmc.init(nl.MarshallSign(network, lattice), key=jax.random.key(seed))
    history = nl.History()
    bar = nl.ProgressBar(reference=ground.energy, label=f"{kind:11}")
    state = nl.run(vmc, state, steps, callbacks=[history, bar], on_interrupt="raise")
    seconds = time.perf_counter() - start
    energy = nl.measure(vmc, state).mean.real
    mean, deviation = attention_statistics(state.model, state.samples)
    return Outcome(
        kind,
        energy,
        abs(energy / ground.energy - 1),
        1 - fidelity(nl.state_vector(state.model, ground.basis), ground.state),
        nl.count_parameters(state.model),
        seconds,
        history["energy"],
        relative_rows(mean, (SIDE, SIDE)),
        float(np.linalg.norm(deviation) / np.linalg.norm(mean - mean.mean(axis=-1, keepdims=True))),
    )


def table(outcomes: Sequence[Outcome], exact: float, n_sites: int) -> str:
    """One line per network; energies per site in units of J1."""
    lines = [
        f"{'attention':12}{'E/N (J1)':>11}{'exact':>11}{'rel. error':>12}{'infidelity':>12}"
        f"{'parameters':>12}{'seconds':>9}"
    ]
    for o in outcomes:
        lines.append(
            f"{o.kind:12}{o.energy / n_sites:11.6f}{exact:11.6f}{o.relative_error:12.1e}{o.infidelity:12.1e}"
            f"{o.parameters:12,}{o.seconds:9.1f}   {NOTES[o.kind]}"
        )
    return "\n".join(
        [
            "",
            *lines,
            "seconds: start and compilation included. One seed, and the types were not tuned equally: no verdict.",
        ]
    )


def figure(outcomes: Sequence[Outcome], exact: float) -> Figure:
    """Convergence of all networks above, mean attention maps of the first block below."""
    with matplotlib.rc_context(style()):
        fig = Figure(figsize=(10, 3.6 + 1.8 * len(outcomes)), layout="constrained")
        grid = fig.add_gridspec(1 + len(outcomes), 1, height_ratios=[2.2] + [1.0] * len(outcomes))
        convergence({o.kind: o.energies for o in outcomes}, exact, fig.add_subplot(grid[0]))
        for place, o in enumerate(outcomes):
            ax = fig.add_subplot(grid[1 + place])
            signed = o.kind in ("factored", "decoupled")
            names = [f"head {h + 1}" for h in range(o.rows.shape[1])]
            attention_map(np.asarray(o.rows[0]), (SIDE, SIDE), ax, signed=signed, names=names)
            ax.set_title(f"{o.kind}: mean weight at each displacement, first block ({NOTES[o.kind]})")
    return fig


def _save(outcomes: Sequence[Outcome], exact: float, settings: dict[str, Any], out: Path) -> None:
    """The figure and every number behind it, with where they come from."""
    out.mkdir(parents=True, exist_ok=True)
    figure(outcomes, exact).savefig(out / "demo.png", dpi=150)
    rows = [
        {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(o).items()}
        for o in outcomes
    ]
    content = {"settings": settings | {"j2": J2, "rate": RATE, "diag_shift": DIAG_SHIFT}, "exact": exact, "runs": rows}
    (out / "demo.json").write_text(json.dumps(content | {"provenance": provenance()}, indent=1), encoding="utf-8")
