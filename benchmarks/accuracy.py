"""Time to accuracy: relative energy error against wall time, compilation included, three named seeds.

    python benchmarks/accuracy.py --case 4x4 --json accuracy.json

4x4: J2 = 0.5, factored attention, full summation, to 1e-4 and 1e-5. 6x6: sampled, ten minutes, no symmetrisation.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

EXACT = {4: 16 * -0.528620209462, 6: 36 * -0.503809653891}
SEEDS = (1, 2, 3)
TARGETS = (1e-2, 1e-3, 1e-4, 1e-5)


def child(side: int, seed: int, budget: float, steps: int) -> None:
    """One run; prints seconds to each target and the final error as one JSON line."""
    import jax
    import numpy as np

    import nqs_lab as nl

    nl.enable_x64()
    nl.use_cores()
    start = time.perf_counter()
    lattice = nl.square(side)
    ham = nl.j1j2(lattice, j2=0.5)
    size = {"patch": 1, "width": 16} if side == 4 else {"patch": 2, "width": 32}
    model = nl.MarshallSign(nl.ViT(lattice, **size, heads=4, depth=2, key=jax.random.key(seed)), lattice)
    if side == 4:
        sampler = nl.ExactSampler(nl.SpinBasis(lattice), group=lattice.translations(step=1))
    else:
        sampler = nl.ExchangeSampler(ham, n_chains=1024)
    vmc = nl.VMC(ham, sampler, nl.SR(diag_shift=1e-3), nl.imaginary_time(0.1 if side == 4 else 0.2, steps))
    times, history = [], nl.History()

    class Clock(nl.Callback):
        def on_step(self, record, state):
            times.append(time.perf_counter() - start)
            if record.step % 20 == 0:
                now = abs(record.energy / EXACT[side] - 1)
                print(f"  step {record.step}: {times[-1]:.0f} s, relative error {now:.1e}", file=sys.stderr, flush=True)
            return times[-1] > budget

    state = nl.run(vmc, vmc.init(model, key=jax.random.key(seed)), steps, callbacks=[history, Clock()])
    error = np.abs(history["energy"] / EXACT[side] - 1)
    stats = nl.measure(vmc, state)
    reached = {f"{t:.0e}": next((times[k] for k in range(len(times)) if error[k] < t), None) for t in TARGETS}
    final = abs(stats.mean.real / EXACT[side] - 1)
    summary = {"side": side, "seed": seed, "seconds": times[-1], "steps": len(times), "reached": reached}
    thin = slice(None, None, max(1, len(times) // 100))
    curve = [[round(t, 2), float(e)] for t, e in zip(times[thin], error[thin], strict=True)]
    summary |= {"final": final, "final_error": stats.error / abs(EXACT[side]), "r_hat": stats.r_hat, "curve": curve}
    print(json.dumps(summary))


def run(side: int, seeds=SEEDS) -> list[dict]:
    """Each seed in a process of its own, so that compilation counts."""
    budget, steps = (150, 200) if side == 4 else (600, 420)
    rows = []
    for seed in seeds:
        command = [sys.executable, __file__, "--child", str(side), str(seed), str(budget), str(steps)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
        row = rows[-1]
        print(
            f"{side}x{side} seed {seed}: {row['reached']}, {row['final']:.2e} after {row['seconds']:.0f} s", flush=True
        )
    return rows


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=("4x4", "6x6"), action="append")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        side, seed, budget, steps = args.child
        return child(int(side), int(seed), float(budget), int(steps))
    rows = [row for case in args.case or ["4x4", "6x6"] for row in run(int(case[0]), args.seeds)]
    for side in (4, 6):
        for target in (f"{t:.0e}" for t in TARGETS):
            found = [row["reached"][target] for row in rows if row["side"] == side]
            if found and None not in found:
                print(f"{side}x{side}: median {median(found):.0f} s to {target}")
    if args.json:
        args.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
