"""Momentum blocks: one time step of the damped Hamiltonian flow whose forces are attention."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from nqs_lab.attention.conversion import as_energy_mixer
from nqs_lab.attention.gradient import EnergyMixer
from nqs_lab.attention.layers import MLP, AbstractBlock, LayerNorm, make_layers, mlp_step, normed
from nqs_lab.attention.mixers import AbstractMixer
from nqs_lab.attention.scalars import Positive
from nqs_lab.flows.damping import Damping
from nqs_lab.flows.dynamics import AbstractFlow
from nqs_lab.flows.integrators import (
    AbstractIntegrator,
    AdamsBashforth,
    ExponentialAdamsBashforth,
    FlowState,
    KickDampDrift,
    Restarted,
)

FORCES = ("closed", "autodiff", "leaking")


class MixerFlow(AbstractFlow):
    """The damped flow of a mixer's Hamiltonian at the tokens LN x: F(LN x, y) and G(LN x, y).

    - `norm`: LN, or None. `force_by`: "closed" (by hand), "autodiff" (of H), "leaking" (the witness).
    - `through_norm`: False takes LN x as the position of a token, so that from rest the block's push is the residual
      block's; True differentiates H(LN x, y) by x, which makes the block a step of that Hamiltonian.
    """

    mixer: EnergyMixer
    damping: Damping
    norm: LayerNorm | None
    force_by: str = eqx.field(static=True)
    through_norm: bool = eqx.field(static=True)

    def velocity(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """F(LN x, y)."""
        place = normed(self.norm, x)
        return self.mixer.derived(place, y)[0] if self.force_by == "autodiff" else self.mixer.velocity(place, y)

    def force(self, x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """G(LN x, y), pulled back through LN where asked for."""
        if self.norm is None or not self.through_norm:
            return self._force(normed(self.norm, x), y)
        place, pull = jax.vjp(self.norm, x)
        return pull(self._force(place, y))[0]

    def _force(self, place: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, "n d"]:
        if self.force_by == "leaking":
            return self.mixer.leaking_force(place, y)
        return self.mixer.derived(place, y)[1] if self.force_by == "autodiff" else self.mixer.force(place, y)


class HamiltonianMomentum(AbstractBlock):
    """One step of x' = dH/dy, y' = -dH/dx - alpha(t) y for the mixing, then x <- x + MLP(LN x); v carries y.

    - `mixer`: an `EnergyMixer`, or one that `as_energy_mixer` can read as such. Several heads are several terms of H.
    - `step`: h, learned by softplus unless `learn_step=False`. One h moves x and y: another one for y would only undo
      the scale of B or V. `integrator`: any that needs no memory; kick, damp, drift by default:
      y <- sigma (y + h G(LN x, y)), x <- x + h F(LN x, y). From rest x moves by h^2 sigma times the attention.
    - `c_log`, `c_lin`: friction alpha = c_log / t + c_lin; `learn_friction=True` learns those that are not 0.
    - `layer`: k; the block's clock starts at t = 1 + k `step` (not 0: c_log / t), and learning a step leaves it there.
    - `norm_momentum`: y <- LN y after the step. It keeps y in bounds, and H no longer governs the step.
    - `force`: "closed", "autodiff" (the same numbers), or "leaking": the witness, never for a model that counts.
    - `through_norm`: see `MixerFlow`. `norm`, `mlp`: False leaves out both LayerNorms of x, or the MLP.
    Raises ValueError for mixing that is not the gradient of an energy, with the reason, and for options out of range.
    stein2026sympformer
    """

    mixer: EnergyMixer
    mlp: MLP | None
    norm_mix: LayerNorm | None
    norm_mlp: LayerNorm | None
    norm_momentum: LayerNorm | None
    step: Positive
    c_log: Positive
    c_lin: Positive
    integrator: AbstractIntegrator
    time: float = eqx.field(static=True)
    force: str = eqx.field(static=True)
    through_norm: bool = eqx.field(static=True)

    def __init__(
        self,
        mixer: AbstractMixer,
        width: int,
        mlp_ratio: int,
        *,
        step: float | int = 1.0,
        c_log: float | int = 3.0,
        c_lin: float | int = 0.0,
        learn_step: bool = True,
        learn_friction: bool = False,
        layer: int = 0,
        integrator: AbstractIntegrator | None = None,
        norm_momentum: bool = False,
        force: str = "closed",
        through_norm: bool = False,
        norm: bool = True,
        mlp: bool = True,
        dtype=jnp.float32,
        key: PRNGKeyArray,
    ):
        if force not in FORCES:
            raise ValueError(f"force must be one of {', '.join(FORCES)}; got {force!r}.")
        if not step > 0:
            raise ValueError(f"step must be > 0, got {step!r}: a step of 0 moves nothing. Take 1.")
        if layer < 0:
            raise ValueError(f"layer counts blocks from 0, got {layer}.")
        self.integrator = KickDampDrift() if integrator is None else integrator
        if isinstance(self.integrator, AdamsBashforth | ExponentialAdamsBashforth | Restarted):
            raise ValueError(
                f"{type(self.integrator).__name__} needs the step before, which a block is not given. Take "
                "KickDampDrift, Euler, ExponentialEuler, Strang or RungeKutta."
            )
        self.mixer = as_energy_mixer(mixer)
        self.mlp, self.norm_mix, self.norm_mlp = make_layers(width, mlp_ratio, norm, mlp, dtype=dtype, key=key)
        self.norm_momentum = LayerNorm(width, dtype=dtype) if norm_momentum else None
        self.step = Positive("step", step, learned=learn_step, dtype=dtype)
        self.c_log = Positive("c_log", c_log, learned=learn_friction, dtype=dtype)
        self.c_lin = Positive("c_lin", c_lin, learned=learn_friction, dtype=dtype)
        self.time, self.force, self.through_norm = 1.0 + layer * step, force, through_norm

    def flow(self, dtype) -> MixerFlow:
        """The flow that this block takes a step of, its clock at t."""
        damping = Damping(self.c_log(dtype), self.c_lin(dtype), self.time)
        return MixerFlow(
            mixer=self.mixer,
            damping=damping,
            norm=self.norm_mix,
            force_by=self.force,
            through_norm=self.through_norm,
        )

    def __call__(
        self, x: Float[Array, "n d"], v: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        flow = self.flow(x.dtype)
        state: FlowState = self.integrator.init(flow, x, v)
        x, y, _ = self.integrator.advance(flow, state, self.step(x.dtype))
        return mlp_step(self.mlp, self.norm_mlp, x), normed(self.norm_momentum, y)

    def weights(self, x: Float[Array, "n d"], v: Float[Array, "n d"]) -> Float[Array, "h n n"]:
        """alpha(LN x)."""
        return self.mixer.weights(normed(self.norm_mix, x))
