"""One VMC step on the 6x6 torus, J2 = 0.5: ours, phase by phase, and NetKet's beside it in the same run.

    python benchmarks/step.py --netket PYTHON_WITH_NETKET --json step.json

Each contender runs in a process of its own, in turn, `--rounds` times; the ratio is that of the medians.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
MODEL = {"patch": 2, "width": 32, "heads": 4, "depth": 2}


def build(side: int, chains: int, dtype: str):
    """Hamiltonian, model and VMC of the benchmark."""
    import jax
    import jax.numpy as jnp
    import optax

    import nqs_lab as nl

    nl.enable_x64()
    nl.use_cores()
    lattice = nl.square(side)
    ham = nl.j1j2(lattice, j2=0.5)
    model = nl.ViT(lattice, **MODEL, dtype=getattr(jnp, dtype), key=jax.random.key(0))
    vmc = nl.VMC(ham, nl.ExchangeSampler(ham, n_chains=chains), nl.SR(diag_shift=1e-3), optax.sgd(0.1))
    return model, vmc


def child(side: int, chains: int, dtype: str, steps: int) -> None:
    """Time our steps, then each phase alone; one JSON line."""
    import jax

    import nqs_lab as nl

    model, vmc = build(side, chains, dtype)
    state = vmc.init(model, key=jax.random.key(1))
    jax.block_until_ready(state)
    history = nl.History()
    state = nl.run(vmc, state, steps, callbacks=[history])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result = {"seconds": history["seconds"].tolist(), "peak": peak, "parameters": nl.count_parameters(model)}
    result |= {"float32_kernel": float(history["float32"].mean()), "phases": phases(vmc, state)}
    print(json.dumps(result | {"work": work(vmc, model)}))


def work(vmc, model) -> dict[str, float]:
    """Floating-point operations of the matrix products of each phase, to compare with the machine's rate."""
    plan = vmc.plan(model)
    sweep = 1 + vmc.sampler.sweep_size
    forward = plan.flops["forwards"] / plan.forwards
    return {
        "sampling": sweep * forward,
        "local energy": (plan.forwards - sweep) * forward,
        "jacobian": plan.flops["derivatives"],
        "kernel in float32": plan.flops["kernel"],
        "kernel in float64": plan.flops["kernel"],
        "solve": plan.flops["solve"],
        "matrix product 2048 float32": 2 * 2048.0**3,
        "matrix product 2048 float64": 2 * 2048.0**3,
    }


def phases(vmc, state, repeat: int = 4) -> dict[str, float]:
    """Seconds of sampling, local energy, Jacobian, kernel, solve, each compiled and timed alone."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from nqs_lab.vmc.cores import on_all_cores
    from nqs_lab.vmc.reconfigure import centred_system, kernel, log_derivatives

    model, samples, (forward, backward) = state.model, state.samples, vmc.chunks(state.model)
    found = {}

    def clock(name, function, *arguments, shared=False):
        jitted = eqx.filter_jit(function)
        compiled = partial(on_all_cores, jitted) if shared else jitted
        out = jax.block_until_ready(compiled(*arguments))
        times = []
        for _ in range(repeat):
            start = time.perf_counter()
            jax.block_until_ready(compiled(*arguments))
            times.append(time.perf_counter() - start)
        found[name] = min(times)
        return out

    step = lambda v, m, s: v.sampler.step(m, s, chunk_size=forward)
    samples = clock("sampling", step, vmc, model, samples, shared=True)
    energies = lambda v, m, s: v.sampler.local_energy(m, v.ham, s, chunk_size=forward)
    e_loc = clock("local energy", energies, vmc, model, samples, shared=True)
    keep = samples.weight > 0
    jacobian = clock(
        "jacobian", lambda m, s, k: log_derivatives(m, s, k, chunk_size=backward), model, samples.sigma, keep
    )
    system = clock("centring", centred_system, jacobian, e_loc, samples.weight)
    for dtype in ("float32", "float64"):
        matrix = clock(f"kernel in {dtype}", lambda s, d=dtype: kernel(s, getattr(jnp, d)).astype(jnp.float64), system)
    shifted = matrix + 1e-3 * jnp.eye(len(matrix))
    clock("solve", lambda a, b: jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(a), True), b), shifted, shifted[0])
    side = jax.random.normal(jax.random.key(0), (2048, 2048), dtype=jnp.float32)
    clock("matrix product 2048 float32", lambda a: a @ a, side)
    clock("matrix product 2048 float64", lambda a: a @ a, side.astype(jnp.float64))
    return found


def run_child(command: list[str]) -> dict:
    """The JSON line of a child process, with the wall time of its first step."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Run the contenders in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--netket", help="a Python interpreter that has netket 3.23")
    parser.add_argument("--side", type=int, default=6)
    parser.add_argument("--chains", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args.side, args.chains, args.child, args.steps)
    rows = []
    sizes = ["--side", str(args.side), "--chains", str(args.chains), "--steps", str(args.steps)]
    for dtype in args.dtypes:
        contenders = {"nqs_lab": [sys.executable, __file__, "--child", dtype, *sizes]}
        if args.netket:
            # Without chunks it is three times slower and takes 13 GB. Its own choice here is the kernel on the fly.
            common = [args.netket, str(HERE / "netket_step.py"), *sizes, "--dtype", dtype, "--chunk", "1024"]
            contenders["netket, on the fly"] = [*common, "--on-the-fly"]
            contenders["netket, stored Jacobian"] = common
        results: dict[str, list[dict]] = {name: [] for name in contenders}
        for _ in range(args.rounds):
            for name, command in contenders.items():
                results[name].append(run_child(command))
        for name, runs in results.items():
            steady = median(t for run in runs for t in run["seconds"][2:])
            first = median(run["seconds"][0] for run in runs)
            row = {"dtype": dtype, "name": name, "steady": steady, "first": first, "runs": runs}
            rows.append(row | {"peak": max(run["peak"] for run in runs), "parameters": runs[0]["parameters"]})
    print(f"{'network':9}{'program':22}{'step (s)':>10}{'first (s)':>10}{'peak (GB)':>10}{'parameters':>12}")
    for row in rows:
        print(
            f"{row['dtype']:9}{row['name']:22}{row['steady']:10.2f}{row['first']:10.1f}{row['peak'] / 1e9:10.2f}"
            f"{row['parameters']:12,}"
        )
    for row in rows:
        if "phases" in row["runs"][0]:
            print(row["dtype"], {name: round(value, 3) for name, value in row["runs"][-1]["phases"].items()})
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
