"""What a sampled run is judged by: energy, correlations, the freeze test and the symmetrised state, with errors."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import nqs_lab as nl
from nqs_lab.ansatz.base import AbstractAnsatz
from nqs_lab.lab.comparison.freezing import variants
from nqs_lab.lab.large.clock import Clock
from nqs_lab.lab.large.collecting import Collected, as_samples, collect, some_draws, start_from, with_chains
from nqs_lab.lab.large.correlating import Correlations, sampled_correlations
from nqs_lab.lab.large.overlapping import overlap
from nqs_lab.lab.large.reference import Reference, orders
from nqs_lab.lab.large.setting import Setting, make_lattice
from nqs_lab.lab.large.training import Trained
from nqs_lab.lab.maps import network, relative_statistics, with_network


@dataclass(frozen=True)
class Effort:
    """How many fresh samples: draws of all chains for the energy, some of them for correlations and mean maps, draws of
    every frozen state after `discard` sweeps, and chains and draws of the symmetrised states."""

    draws: int = 64
    correlation_draws: int = 4
    freeze_draws: int = 16
    discard: int = 10
    symmetric_chains: int = 256
    symmetric_draws: int = 32
    symmetric_correlation_draws: int = 4


def measure_sampled(
    setting: Setting, trained: Trained, exact: Reference, folder: Path, clock: Clock, effort: Effort
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers and arrays of a trained state, all from fresh samples; what is under way is kept in `folder`.

    Raises TimeIsUp when the clock says so, with everything collected so far kept.
    """
    vmc, model = trained.vmc, trained.state.model
    lattice = make_lattice(setting.lattice)
    fresh = collect(vmc, model, trained.state.samples, effort.draws, discard=1, file=folder / "energy.npz", clock=clock)
    numbers = energy_numbers(fresh.energy, exact.energy, lattice.n_sites)
    found = _correlations(vmc, model, lattice, fresh, effort.correlation_draws)
    numbers["order"] = order_numbers(found, lattice, exact)
    rows, deviation = relative_statistics(model, as_samples(some_draws(fresh, effort.correlation_draws)))
    numbers["freeze"] = freeze_sampled(setting, trained, fresh, rows, folder, clock, effort)
    arrays = correlation_arrays(found) | {"rows": rows.astype(np.float32), "deviation": deviation.astype(np.float32)}
    if is_symmetrised(setting):
        numbers["symmetrised"] = {}
        for name, symmetric in symmetrised(model, lattice).items():
            more, kept = measure_symmetrised(name, symmetric, trained, exact, folder, clock, effort)
            numbers["symmetrised"][name], arrays = more, arrays | kept
    return numbers, arrays


def freeze_sampled(
    setting: Setting,
    trained: Trained,
    fresh: Collected,
    rows: Float[np.ndarray, "depth h n"],
    folder: Path,
    clock: Clock,
    effort: Effort,
) -> dict[str, Any]:
    """Energy of every frozen variant from its own fresh samples, what that loses, and the infidelity with the trained.

    `rows`: mean weights by displacement. Where the weights do not depend on the input, only the mean and its two
    controls are tried.
    """
    vmc, model, chains = trained.vmc, trained.state.model, trained.state.samples.sigma.shape[0]
    compared, losses = some_draws(fresh, effort.freeze_draws), {}
    for number, (name, frozen) in enumerate(_frozen(setting, model, rows)):
        samples, file = start_from(trained.state.samples, chains, 100 + number), folder / f"freeze_{number}.npz"
        own = collect(vmc, frozen, samples, effort.freeze_draws, discard=effort.discard, file=file, clock=clock)
        stats, near = own.energy, overlap(model, frozen, compared, own)
        losses[name] = {
            "energy": stats.mean.real,
            "error": stats.error,
            "lost": stats.mean.real - fresh.energy.mean.real,
            "lost_error": float(np.hypot(stats.error, fresh.energy.error)),
            "variance": stats.variance,
            "r_hat": stats.r_hat,
            "infidelity": near.infidelity,
            "infidelity_error": near.error,
            "from_trained": near.from_first,
            "from_frozen": near.from_second,
        }
    return losses


def _frozen(
    setting: Setting, model: AbstractAnsatz, rows: Float[np.ndarray, "depth h n"]
) -> Iterator[tuple[str, AbstractAnsatz]]:
    """The variants by name, put back under the sign rule."""
    for name, vit in variants(network(model), rows).items():
        if setting.attention != "factored" or not name.startswith("layer"):
            yield name, with_network(model, vit)


def is_symmetrised(setting: Setting) -> bool:
    """Whether the trained state is measured again after projection: the factored one with patches, at J2 = 1/2."""
    return setting.attention == "factored" and setting.patch > 1 and setting.j2 == 0.5


def symmetrised(model: AbstractAnsatz, lattice: nl.Lattice) -> dict[str, nl.Symmetrized]:
    """The model projected on larger and larger parts of the ground state's symmetry.

    Translations by one site; with rotations and reflections (A1); with the spin flip. For N/2 odd the ground state has
    momentum M and is odd under the flip, else momentum Gamma and even.
    """
    even = lattice.n_sites % 4 == 0
    translations = lattice.translations(momentum=lattice.momentum("Gamma" if even else "M"))
    space = translations * lattice.point_group("A1")
    whole = space * nl.spin_flip(lattice.n_sites, 1 if even else -1)
    groups = {"translations": translations, "space group": space, "space group and flip": whole}
    return {name: nl.Symmetrized(model, group) for name, group in groups.items()}


def measure_symmetrised(
    name: str,
    model: nl.Symmetrized,
    trained: Trained,
    exact: Reference,
    folder: Path,
    clock: Clock,
    effort: Effort,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Energy of one symmetrised state from its own samples; of the most symmetric one also C(r) and S(q)."""
    vmc, lattice = with_chains(trained.vmc, effort.symmetric_chains), network(model).lattice
    word, count = name.replace(" ", "_"), len(model.representatives)
    samples = start_from(trained.state.samples, effort.symmetric_chains, 200 + count)
    file = folder / f"symmetric_{word}.npz"
    own = collect(vmc, model, samples, effort.symmetric_draws, discard=effort.discard, file=file, clock=clock)
    numbers = energy_numbers(own.energy, exact.energy, lattice.n_sites) | {"forwards": count}
    if not name.endswith("flip"):
        return numbers, {}
    found = _correlations(vmc, model, lattice, own, effort.symmetric_correlation_draws)
    numbers["order"] = order_numbers(found, lattice, exact)
    arrays = correlation_arrays(found)
    return numbers, {f"symmetrised_{key}": array for key, array in arrays.items() if key != "momenta"}


def _correlations(
    vmc: nl.VMC, model: AbstractAnsatz, lattice: nl.Lattice, samples: Collected, count: int
) -> Correlations:
    """C(r) and S(q) from some of the draws."""
    some = some_draws(samples, count)
    return sampled_correlations(model, lattice, some.sigma, some.log_psi, chunk_size=vmc.chunks(model)[0])


def energy_numbers(stats: nl.Stats, exact: float | None, n_sites: int) -> dict[str, Any]:
    """Energy (total, units of J1) with its error, distance to the exact one, variance, V-score and diagnostics."""
    energy = stats.mean.real
    numbers = {
        "energy": energy,
        "error": stats.error,
        "exact": exact,
        "variance": stats.variance,
        "v_score": nl.v_score(energy, stats.variance, n_sites),
        "r_hat": stats.r_hat,
        "tau": stats.tau,
        "samples": stats.n_samples,
    }
    if exact is not None:
        numbers["relative_error"] = abs(energy / exact - 1)
        numbers["relative_error_error"] = stats.error / abs(exact)
    return numbers


def order_numbers(found: Correlations, lattice: nl.Lattice, exact: Reference) -> dict[str, Any]:
    """S(q) at the wave vectors of the orders, with error and exact value where it is known."""
    numbers = {}
    for name, momenta in orders(lattice).items():
        value, error = found.at(lattice, *momenta)
        numbers[name] = {"value": value, "error": error, "exact": exact.order[name]}
    return numbers


def correlation_arrays(found: Correlations) -> dict[str, np.ndarray]:
    """The arrays that are shipped: C(r) by site and S(q) by momentum, with errors."""
    return {
        "correlations": found.c,
        "correlations_error": found.c_error,
        "momenta": found.momenta.astype(np.int16),
        "structure_factor": found.s,
        "structure_factor_error": found.s_error,
    }
