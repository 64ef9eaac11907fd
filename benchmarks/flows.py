"""Particle simulations of attention: seconds per step against the number of tokens, and one long run.

    python benchmarks/flows.py [--quick] [--json FILE]

d = 3, float64, kernel and values the identity. Softmax attention needs all n^2 pairs: its seconds per step must grow
with the square of n. Linear attention sums d x d matrices first and grows with n. The long run, 1,000 steps of
accelerated softmax attention with 2,000 tokens, must take less than 30 seconds on two cores.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

SIZES = (500, 1_000, 2_000, 4_000)
LONG = {"tokens": 2_000, "steps": 1_000, "goal_s": 30.0}
CASES = ("attention", "accelerated", "accelerated linear")
SCHEMES = {
    "attention": "explicit Euler",
    "accelerated": "kick-damp-drift",
    "accelerated linear": "kick-damp-drift",
}


def build(case: str, n: int):
    """Flow, scheme and start of a case: n tokens of an isotropic Gaussian cloud of variance 1/4."""
    import jax.numpy as jnp
    import numpy as np

    from nqs_lab import flows

    one = np.eye(3)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(n, 3)) / 2)
    softmax, scheme = flows.softmax_flow(one, one, flows.Damping(3)), flows.KickDampDrift()
    if case == "attention":
        return flows.overdamped(softmax), flows.Euler(), x
    return (softmax if case == "accelerated" else flows.linear_flow(one, -one, flows.Damping(3))), scheme, x


def seconds(case: str, n: int, steps: int, repeat: int) -> dict[str, Any]:
    """One row: the best of several runs, compilation apart; "cpu_s" adds up all cores."""
    import jax

    from nqs_lab import flows

    flow, scheme, x = build(case, n)
    state = scheme.init(flow, x)
    run = lambda: jax.block_until_ready(flows.simulate(scheme, flow, state, 1e-3, steps, every=steps))
    start = time.perf_counter()
    refused = int(run().refused)
    first = time.perf_counter() - start
    best, cpu = math.inf, math.inf
    for _ in range(repeat):
        start, used = time.perf_counter(), time.process_time()
        run()
        best = min(best, time.perf_counter() - start)
        cpu = min(cpu, time.process_time() - used)
    if refused:
        raise RuntimeError(f"{case}, {n} tokens: {refused} steps were not finite; take a smaller step.")
    row = {"case": case, "scheme": SCHEMES[case], "tokens": n, "steps": steps, "total_s": best, "cpu_s": cpu}
    return row | {"step_s": best / steps, "first_s": first, "oracle_calls": scheme.oracle_calls * steps}


def growth(rows: list[dict[str, Any]]) -> float:
    """The exponent p of seconds ~ n^p between the two largest sizes."""
    small, large = rows[-2:]
    return math.log(large["step_s"] / small["step_s"]) / math.log(large["tokens"] / small["tokens"])


def run(quick: bool = False) -> list[dict[str, Any]]:
    """All measurements, printed as they come."""
    import nqs_lab

    nqs_lab.enable_x64()
    rows = []
    print(f"{'case':<20}{'tokens':>8}{'steps':>7}{'ms/step':>10}{'total s':>10}{'cpu s':>9}{'growth':>8}")
    for case in CASES:
        found: list[dict[str, Any]] = []
        for n in SIZES[: 3 if quick else None]:
            steps = max(20, 4_000_000 // n if "linear" in case else 40_000_000 // n**2)
            found.append(seconds(case, n, steps, 3))
            if len(found) > 1:
                found[-1]["growth"] = growth(found)
            show(found[-1])
        rows += found
    if not quick:
        row = seconds("accelerated", LONG["tokens"], LONG["steps"], 1) | {"goal_s": LONG["goal_s"]}
        show(row)
        rows.append(row)
    return rows


def show(row: dict[str, Any]) -> None:
    """One line."""
    grown = f"{row['growth']:8.2f}" if "growth" in row else ""
    print(
        f"{row['case']:<20}{row['tokens']:>8,}{row['steps']:>7,}{1e3 * row['step_s']:10.2f}{row['total_s']:10.2f}"
        f"{row['cpu_s']:9.2f}{grown}",
        flush=True,
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Particle simulations: seconds per step against the number of tokens.")
    parser.add_argument("--quick", action="store_true", help="without the largest size and the long run")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    options = parser.parse_args()
    rows = run(options.quick)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
