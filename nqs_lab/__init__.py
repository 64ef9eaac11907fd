"""nqs_lab: Transformer wave functions, taught against exact answers.

Energies are in units of J1 with spin operators S (not Pauli matrices). Rooms: `spins` (the quantum problem, exactly),
`attention`, `ansatz` (trial states), `vmc` (learning), `store` (files), `lab` (plots and widgets; not imported here).
"""

from . import store as store
from .ansatz import (
    RBM as RBM,
    AbstractAnsatz as AbstractAnsatz,
    Jastrow as Jastrow,
    LogTable as LogTable,
    MarshallSign as MarshallSign,
    MeanField as MeanField,
    Symmetrized as Symmetrized,
    ViT as ViT,
    attention_maps as attention_maps,
    count_parameters as count_parameters,
    freeze as freeze,
    log_cosh as log_cosh,
)
from .spins import (
    GroundState as GroundState,
    Group as Group,
    Heisenberg as Heisenberg,
    Lattice as Lattice,
    Sector as Sector,
    SpinBasis as SpinBasis,
    chain as chain,
    correlations as correlations,
    dimer_correlations as dimer_correlations,
    entanglement_entropy as entanglement_entropy,
    expectation as expectation,
    fidelity as fidelity,
    ground_state as ground_state,
    j1j2 as j1j2,
    ladder as ladder,
    linear_operator as linear_operator,
    matrix as matrix,
    pair_correlations as pair_correlations,
    rectangle as rectangle,
    sector_dimension as sector_dimension,
    shastry_sutherland as shastry_sutherland,
    sign_weight as sign_weight,
    spectrum as spectrum,
    spin_flip as spin_flip,
    square as square,
    structure_factor as structure_factor,
    tilted as tilted,
    total_spin as total_spin,
    triplet_gap as triplet_gap,
)
from .vmc import (
    SR as SR,
    VMC as VMC,
    Callback as Callback,
    Checkpoint as Checkpoint,
    EarlyStop as EarlyStop,
    ExactSampler as ExactSampler,
    ExchangeSampler as ExchangeSampler,
    History as History,
    ProgressBar as ProgressBar,
    Stats as Stats,
    VMCState as VMCState,
    imaginary_time as imaginary_time,
    measure as measure,
    resume as resume,
    run as run,
    state_vector as state_vector,
    use_cores as use_cores,
    v_score as v_score,
)

__version__ = "0.1.0"


def enable_x64() -> None:
    """Switch JAX to 64-bit numbers; call it once, before the first array is made.

    Energies and linear solves need it; networks stay in float32 unless dtype=jnp.float64 is asked for.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
