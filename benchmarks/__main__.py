"""All benchmarks: measures, keeps the rows in benchmarks/rows/ and writes benchmarks/RESULTS.md.

    python -m benchmarks                          ours alone, everything that takes minutes
    python -m benchmarks --reference PYTHON       NetKet and QuSpin beside ours, from an interpreter that has them
    python -m benchmarks --torch PYTHON           a GPT in PyTorch beside ours
    python -m benchmarks --only none              write RESULTS.md again from the rows that are there

Run nothing else on the machine meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
ROWS = HERE / "rows"
PARTS = ("ed", "step", "accuracy", "flows", "language")
PHASES = [
    "",
    "Phases of ours, each timed alone. Rate: operations of the matrix products (of the symmetric kernel those that",
    "are computed) over time; share: of the rate at which this machine multiplies two 2,048 x 2,048 matrices of",
    "the same type in the same process. What is no matrix product (GELU, norms, exponentials) has no share.",
    "",
    "| network | phase | seconds | Gflop | Gflop/s | share |",
    "|---|---|---|---|---|---|",
]


def measure(part: str, reference: str | None, quick: bool, torch: str | None = None) -> None:
    """Run one benchmark script, which writes its rows, and note where and when."""
    from nqs_lab.store import provenance

    ROWS.mkdir(exist_ok=True)
    stamp = provenance()  # before the run: the commit and date of what is measured, whatever is edited meanwhile
    target = ROWS / f"{part}.json"
    command = [sys.executable, str(HERE / f"{part}.py"), "--json", str(target)]
    if part == "step" and reference:
        command += ["--netket", reference]
    if part == "ed" and reference:  # ours and QuSpin in one interpreter, so that both see the same libraries
        command[0] = reference
    if part == "language" and torch:
        command += ["--torch", torch]
    if part in ("ed", "flows", "language") and quick:
        command.append("--quick")
    if part == "accuracy" and quick:
        command += ["--case", "4x4"]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "JAX_PLATFORMS": "cpu"}
    subprocess.run(command, check=True, env=environment)
    found = json.loads(target.read_text())
    if not isinstance(found, dict):
        found = {"rows": found}
    # A reference interpreter has versions of its own, and it is those that were measured.
    if "versions" in found:
        stamp["python"] = found["versions"].pop("python")
        stamp["versions"] = {"nqs-lab": stamp["versions"]["nqs-lab"], **found["versions"]}
    target.write_text(json.dumps({"provenance": stamp, "rows": found["rows"]}, indent=1))


def write_results() -> None:
    """RESULTS.md from the rows on disk."""
    text = [
        "# Benchmark results",
        "",
        "Written by `python -m benchmarks`; each table says when and on what it was measured.",
    ]
    for part, show in TABLES.items():
        file = ROWS / f"{part}.json"
        if not file.exists():
            continue
        content = json.loads(file.read_text())
        text += ["", *show(content["rows"]), "", origin(content["provenance"])]
    (HERE / "RESULTS.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def origin(p: dict) -> str:
    """Date, machine, versions."""
    versions = ", ".join(f"{name} {version}" for name, version in p["versions"].items())
    m = p["machine"]
    machine = f"{m['cores']} cores, {m['cpu'] or m['architecture']}, {m['system']}"
    return f"Measured {p['date']} at commit {p['commit']}; {machine}; Python {p['python']}; {versions}."


def ed_table(rows: list[dict]) -> list[str]:
    """Exact diagonalisation."""
    head = ["## Exact diagonalisation, J1-J2 model at J2 = 0.5", "",
            "| case | program | states | basis (s) | solve (s) | total (s) | peak (MB) | E/N (J1) |",
            "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    return head + [
        f"| {r['case']} | {r['engine']} | {r['dim']:,} | {r['basis_s']:.2f} | {r['solve_s']:.2f} | "
        f"{r['total_s']:.2f} | "
        f"{r['peak_mb']:.0f} | {r['energy']:.9f} |"
        for r in rows
        if "error" not in r
    ]


def step_table(rows: list[dict]) -> list[str]:
    """One VMC step, and the phases of ours."""
    lines = [
        "## One VMC step, 6x6, J2 = 0.5, ViT (patch 2, width 32, depth 2, 4 heads), 1,024 chains, sweep 36",
        "",
        "| network | program | step (s) | ratio to ours | first step (s) | peak (GB) |",
        "|---|---|---|---|---|---|",
    ]
    ours = {r["dtype"]: r["steady"] for r in rows if r["name"] == "nqs_lab"}
    for r in rows:
        ratio = r["steady"] / ours[r["dtype"]]
        lines.append(
            f"| {r['dtype']} | {r['name']} | {r['steady']:.2f} | {ratio:.2f} | {r['first']:.1f} | "
            f"{r['peak'] / 1e9:.2f} |"
        )
    lines += [
        "",
        "NetKet runs in chunks, of 1,024 where the row does not say. Where the row does not say how, it chose itself",
        "and took its kernel on the fly, without a stored Jacobian. Without chunks it was three times slower in an",
        "earlier run. Compare with its best row. Ours shares the forward passes among the cores since `use_cores`.",
    ]
    measured = [r for r in rows if "work" in r["runs"][-1]]
    if measured:
        lines += PHASES
    for r in measured:
        lines += phase_rows(r["dtype"], r["runs"][-1]["phases"], r["runs"][-1]["work"])
    return lines


def phase_rows(dtype: str, seconds: dict[str, float], work: dict[str, float]) -> list[str]:
    """One line for each phase."""
    lines = []
    for name, value in seconds.items():
        kind = "float64" if "float64" in name or name == "solve" else "float32" if "float32" in name else dtype
        if name not in work:
            lines.append(f"| {dtype} | {name} | {value:.3f} | - | - | - |")
            continue
        whole = f"matrix product 2048 {kind}"
        rate, best = work[name] / value / 1e9, work[whole] / seconds[whole] / 1e9
        share = "1" if name == whole else f"{rate / best:.2f}"
        lines.append(f"| {dtype} | {name} | {value:.3f} | {work[name] / 1e9:.1f} | {rate:.0f} | {share} |")
    return lines


def accuracy_table(rows: list[dict]) -> list[str]:
    """Wall time to relative errors."""
    lines = ["## Time to accuracy, J2 = 0.5, factored attention, compilation included", "",
             "| lattice | seed | 1e-2 (s) | 1e-3 (s) | 1e-4 (s) | 1e-5 (s) | final error | after (s) | steps |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    targets = ("1e-02", "1e-03", "1e-04", "1e-05")
    for r in rows:
        cells = " | ".join("-" if r["reached"][t] is None else f"{r['reached'][t]:.0f}" for t in targets)
        final = f"{r['final']:.2e}" + (f" +- {r['final_error']:.0e}" if r["final_error"] else "")
        lines.append(
            f"| {r['side']}x{r['side']} | {r['seed']} | {cells} | {final} | {r['seconds']:.0f} | {r['steps']} |"
        )
    for side in sorted({r["side"] for r in rows}):
        for t in targets:
            found = [r["reached"][t] for r in rows if r["side"] == side]
            if None not in found and len(found) > 1:
                lines.append(f"\n{side}x{side}: median {median(found):.0f} s to {t}.")
    return lines


def flows_table(rows: list[dict]) -> list[str]:
    """Particle simulations of attention."""
    lines = ["## Attention as a flow of particles, d = 3, float64", "",
             "Growth: the exponent p of seconds ~ n^p from the size before.", "",
             "| flow | scheme | tokens | steps | per step (ms) | total (s) | all cores (s) | growth |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for r in rows:
        growth = f"{r['growth']:.2f}" if "growth" in r else "-"
        total = f"{r['total_s']:.2f}" + (f" (allowed: {r['goal_s']:.0f})" if "goal_s" in r else "")
        lines.append(
            f"| {r['case']} | {r['scheme']} | {r['tokens']:,} | {r['steps']:,} | {1e3 * r['step_s']:.2f} | {total} | "
            f"{r['cpu_s']:.2f} | {growth} |"
        )
    return lines


def language_table(rows: list[dict]) -> list[str]:
    """Training steps of language models."""
    lines = [f"## A training step of small language models, {rows[0]['tokens']:,} tokens, {rows[0]['cores']} cores", "",
             "| model | program | step (s) | tokens per second | to GPT | parameters | first step (s) | peak (GB) |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for r in rows:
        program = f"torch {r['version']}" if r["program"] == "torch" else "nqs_lab"
        lines.append(
            f"| {r['name']} | {program} | {r['step_s']:.3f} | {r['tokens_per_second']:,.0f} | {r['to_gpt']:.2f} | "
            f"{r['parameters']:,} | {r['first_s']:.1f} | {r['peak'] / 1e9:.2f} |"
        )
    return lines


TABLES = {
    "ed": ed_table,
    "step": step_table,
    "accuracy": accuracy_table,
    "flows": flows_table,
    "language": language_table,
}


def main() -> None:
    """Measure what is asked for, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=(*PARTS, "none"), default=list(PARTS))
    parser.add_argument("--reference", help="a Python interpreter with netket 3.23 and quspin 1.0.1")
    parser.add_argument("--torch", help="a Python interpreter with torch")
    parser.add_argument("--quick", action="store_true", help="leave out what takes more than a few minutes")
    args = parser.parse_args()
    for part in args.only:
        if part != "none":
            measure(part, args.reference, args.quick, args.torch)
    write_results()


if __name__ == "__main__":
    main()
