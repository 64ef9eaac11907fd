"""A training step of small language models: GPT, Nesterov and momentum, and a GPT in PyTorch eager beside them.

    python benchmarks/language.py --torch PYTHON_WITH_TORCH --json language.json

4 layers, 4 heads, width 64, 128 tokens at once, 9,216 tokens in a step, vocabulary 1,024, float32, AdamW. Every program
runs in a process of its own, in turn, `--rounds` times, on the same cores; figures are medians over the steps of all
rounds. PyTorch is timed twice, with the whole batch at once and in pieces of 6, as the paper's code does; compare with
the faster one.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
SIZES = {"vocabulary": 1024, "block": 128, "batch": 72, "width": 64, "heads": 4, "depth": 4, "ratio": 4}
QUICK = {"vocabulary": 256, "block": 32, "batch": 12, "width": 16, "heads": 2, "depth": 2, "ratio": 4}
KINDS: dict[str, dict[str, Any]] = {
    "GPT": {},
    "Nesterov": {"dynamics": "nesterov"},
    "momentum, softmax": {"dynamics": "momentum"},
    "momentum, linear": {"dynamics": "momentum", "attention": "linear"},
    "symmetric GPT": {"constrained": True},
    "symmetric GPT, linear": {"constrained": True, "attention": "linear"},
}
PIECES = {"torch eager": 1, "torch eager, in pieces": 12}


def child(kind: str, sizes: dict[str, int], steps: int) -> None:
    """Time our steps; one JSON line."""
    import nqs_lab as nl

    nl.enable_x64()
    cores = nl.use_cores()
    import jax
    import numpy as np

    from nqs_lab.language import Batch, LanguageModel, Recipe, start, train_step

    shape = {name: sizes[name] for name in ("width", "heads", "depth")}
    model = LanguageModel(
        sizes["vocabulary"], sizes["block"], mlp_ratio=sizes["ratio"], key=jax.random.key(0), **shape, **KINDS[kind]
    )
    recipe = Recipe(rate=1e-3, steps=max(steps, 2), batch=sizes["batch"], warm_up=1)
    state = start(model, recipe)
    tokens = np.random.default_rng(0).integers(sizes["vocabulary"], size=(sizes["batch"], sizes["block"] + 1))
    batch = Batch(tokens[:, :-1].astype(np.int32), tokens[:, 1:].astype(np.int32))
    seconds, work, losses = [], [], []
    for _ in range(steps):
        begin, used = time.perf_counter(), time.process_time()
        state, info = jax.block_until_ready(train_step(state, recipe, batch))
        seconds.append(time.perf_counter() - begin)
        work.append(time.process_time() - used)
        losses.append(float(info.loss))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"seconds": seconds, "cpu": work, "losses": [losses[0], losses[-1]], "peak": peak, "cores": cores}
    print(json.dumps(found | {"parameters": nl.count_parameters(state.model)}))


def run_child(command: list[str]) -> dict[str, Any]:
    """The JSON line of a child process."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def contenders(torch: str | None, sizes: dict[str, int], steps: int, cores: int) -> dict[str, list[str]]:
    """The command of every program."""
    found = {
        kind: [sys.executable, __file__, "--child", kind, "--steps", str(steps), "--sizes", json.dumps(sizes)]
        for kind in KINDS
    }
    if torch:
        given = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
        for name, pieces in PIECES.items():
            more = ["--steps", str(steps), "--threads", str(cores), "--accumulate", str(pieces)]
            found[name] = [torch, str(HERE / "torch_gpt.py"), *given, *more]
    return found


def row(name: str, runs: list[dict[str, Any]], sizes: dict[str, int]) -> dict[str, Any]:
    """One program: medians without the first two steps of each round, which compile and warm up."""
    steady = median(value for run in runs for value in run["seconds"][2:])
    tokens = sizes["block"] * sizes["batch"]
    out = {"name": name, "program": "torch" if name in PIECES else "nqs_lab", "step_s": steady, "tokens": tokens}
    out |= {"tokens_per_second": tokens / steady, "first_s": median(run["seconds"][0] for run in runs)}
    out |= {"peak": max(run["peak"] for run in runs), "parameters": runs[0]["parameters"], "cores": runs[0]["cores"]}
    if "cpu" in runs[0]:
        out["cpu_s"] = median(value for run in runs for value in run["cpu"][2:])
    return out | {"version": runs[0].get("version", ""), "losses": runs[0]["losses"]}


def measure(torch: str | None, sizes: dict[str, int], steps: int, rounds: int) -> list[dict[str, Any]]:
    """All programs in turn. Raises RuntimeError if the two GPTs are not of one size, or do not start alike."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    commands = contenders(torch, sizes, steps, cores)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            runs[name].append(run_child(command))
            print(f"round {number + 1}, {name}: {median(runs[name][-1]['seconds'][2:]):.3f} s a step", flush=True)
    rows = [row(name, found, sizes) for name, found in runs.items()]
    gpt = rows[0]
    for item in rows:
        item["to_gpt"] = item["step_s"] / gpt["step_s"]
        if item["program"] == "torch" and item["parameters"] != gpt["parameters"]:
            raise RuntimeError(f"the GPTs differ: {item['parameters']} parameters in torch, {gpt['parameters']} here")
        if item["program"] == "torch" and abs(item["losses"][0] - gpt["losses"][0]) > 0.2:
            raise RuntimeError(f"the GPTs start differently: {item['losses'][0]} in torch, {gpt['losses'][0]} here")
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""
    head = {"step (s)": 10, "tokens/s": 11, "to GPT": 8, "first (s)": 11, "parameters": 12, "peak (GB)": 11}
    print(f"{'model':<26}" + "".join(f"{name:>{width}}" for name, width in head.items()))
    for r in rows:
        print(
            f"{r['name']:<26}{r['step_s']:>10.4f}{r['tokens_per_second']:>11,.0f}{r['to_gpt']:>8.2f}{r['first_s']:>11.1f}"
            f"{r['parameters']:>12,}{r['peak'] / 1e9:>11.2f}"
        )


def main() -> None:
    """Run the programs in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", help="a Python interpreter that has torch")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="tiny models, to see that everything runs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args.child, args.sizes, args.steps)
    rows = measure(args.torch, QUICK if args.quick else SIZES, args.steps, args.rounds)
    show(rows)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
