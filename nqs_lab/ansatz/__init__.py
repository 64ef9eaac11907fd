"""Trial states: log psi of one configuration."""

from nqs_lab.ansatz.base import (
    AbstractAnsatz as AbstractAnsatz,
    count_parameters as count_parameters,
    log_cosh as log_cosh,
)
from nqs_lab.ansatz.classic import RBM as RBM, Jastrow as Jastrow, LogTable as LogTable, MeanField as MeanField
from nqs_lab.ansatz.transformer import ViT as ViT, attention_maps as attention_maps, freeze as freeze
from nqs_lab.ansatz.wrappers import MarshallSign as MarshallSign, Symmetrized as Symmetrized
