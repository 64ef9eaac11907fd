"""One VMC step of NetKet on the model, samples, sweep and minSR of benchmarks/step.py; prints one JSON line.

Run by benchmarks/step.py with a Python that has netket 3.23 (it is no dependency of ours).
"""

import argparse
import json
import resource
import time

import jax

jax.config.update("jax_enable_x64", True)

import flax.linen as nn
import jax.numpy as jnp
import netket as nk
import numpy as np
import optax


class FactoredMixing(nn.Module):
    """A_i = W concat_mu sum_j p^mu_{i-j} V^mu x_j on an L x L torus of patches."""

    width: int
    heads: int
    side: int
    dtype: type

    @nn.compact
    def __call__(self, x):
        n = self.side**2
        token = np.arange(n)
        dx = (token[None] % self.side - token[:, None] % self.side) % self.side
        dy = (token[None] // self.side - token[:, None] // self.side) % self.side
        row = self.param("table", nn.initializers.normal(0.1), (self.heads, n), self.dtype)
        weights = row[:, dx + self.side * dy]
        v = nn.Dense(self.width, param_dtype=self.dtype, dtype=self.dtype)(x)
        v = v.reshape(*x.shape[:-1], self.heads, -1)
        mixed = jnp.einsum("hij,...jhr->...ihr", weights, v).reshape(x.shape)
        return nn.Dense(self.width, param_dtype=self.dtype, dtype=self.dtype)(mixed)


class ViT(nn.Module):
    """Patches, pre-LayerNorm blocks with factored mixing, sum pooling, complex log cosh head."""

    side: int
    patch: int
    width: int
    heads: int
    depth: int
    dtype: type

    @nn.compact
    def __call__(self, sigma):
        options = {"param_dtype": self.dtype, "dtype": self.dtype}
        side, b = self.side // self.patch, self.patch
        x = sigma.reshape(-1, side, b, side, b).swapaxes(-3, -2).reshape(-1, side**2, b * b).astype(self.dtype)
        x = nn.Dense(self.width, **options)(x)
        for _ in range(self.depth):
            x = x + FactoredMixing(self.width, self.heads, side, self.dtype)(nn.LayerNorm(**options)(x))
            y = nn.gelu(nn.Dense(4 * self.width, **options)(nn.LayerNorm(**options)(x)))
            x = x + nn.Dense(self.width, **options)(y)
        z = nn.LayerNorm(**options)(x.sum(-2))
        small = nn.initializers.normal(0.03)
        out = nn.Dense(self.width, kernel_init=small, **options)(z)
        out = out + 1j * nn.Dense(self.width, kernel_init=small, **options)(z)
        return nk.nn.activation.log_cosh(out).sum(-1)


def main() -> None:
    """Time the steps and print one JSON line."""
    parser = argparse.ArgumentParser()
    for name, value in (
        ("side", 6),
        ("patch", 2),
        ("width", 32),
        ("heads", 4),
        ("depth", 2),
        ("chains", 1024),
        ("steps", 6),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--chunk", type=int, default=0)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--on-the-fly", action="store_true", help="NetKet's kernel without a stored Jacobian")
    args = parser.parse_args()
    graph = nk.graph.Square(args.side, max_neighbor_order=2)
    hilbert = nk.hilbert.Spin(0.5, args.side**2, total_sz=0)
    ham = nk.operator.Heisenberg(hilbert, graph, J=[1.0, 0.5], sign_rule=[False, False]).to_jax_operator()
    sampler = nk.sampler.MetropolisExchange(
        hilbert, graph=graph, d_max=2, n_chains=args.chains, sweep_size=args.side**2, dtype=jnp.int8
    )
    model = ViT(args.side, args.patch, args.width, args.heads, args.depth, getattr(jnp, args.dtype))
    state = nk.vqs.MCState(
        sampler, model, n_samples=args.chains, n_discard_per_chain=0, seed=1, chunk_size=args.chunk or None
    )
    driver = nk.driver.VMC_SR(
        ham,
        optax.sgd(0.0125),
        diag_shift=1e-3,
        variational_state=state,
        mode="complex",
        chunk_size_bwd=args.chunk or None,
        on_the_fly=args.on_the_fly,
    )
    seconds = []
    for _ in range(args.steps):
        start = time.perf_counter()
        driver.run(1, show_progress=False)
        jax.block_until_ready(state.parameters)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "parameters": state.n_parameters, "version": nk.__version__}))


if __name__ == "__main__":
    main()
