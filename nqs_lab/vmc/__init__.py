"""Learning: samplers, local energies, stochastic reconfiguration, and the driver that puts them together."""

from nqs_lab.vmc.callbacks import (
    Callback as Callback,
    EarlyStop as EarlyStop,
    History as History,
    ProgressBar as ProgressBar,
)
from nqs_lab.vmc.checkpoint import Checkpoint as Checkpoint, resume as resume
from nqs_lab.vmc.cores import use_cores as use_cores
from nqs_lab.vmc.driver import VMC as VMC, VMCState as VMCState, measure as measure, run as run
from nqs_lab.vmc.estimate import Stats as Stats, v_score as v_score
from nqs_lab.vmc.full_sum import ExactSampler as ExactSampler, state_vector as state_vector
from nqs_lab.vmc.recipe import imaginary_time as imaginary_time
from nqs_lab.vmc.sampler import ExchangeSampler as ExchangeSampler
from nqs_lab.vmc.solve import SR as SR
