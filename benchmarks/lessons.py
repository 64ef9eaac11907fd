"""Run every notebook in full and in fast mode, keep the pages to look at, and write notebooks/STATUS.md.

    python -m benchmarks.lessons --pages DIR           all notebooks; HTML pages with all pictures go to DIR
    python -m benchmarks.lessons --only 03 07          some of them; the rows of the others stay as they are

Run nothing else on the machine meanwhile. What a lesson prints in cells tagged "key" is quoted in the status page.
"""

import argparse
import json
import os
import re
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from nqs_lab.store import provenance

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
ROWS, STATUS = Path(__file__).parent / "rows" / "lessons.json", FOLDER / "STATUS.md"
LIMITS = {"full": 180, "fast": 20}
"""Seconds on two idle cores, kernel start included."""
HEAD = """# Status of the lessons

Written by `python -m benchmarks.lessons`: every notebook run from top to bottom by itself, in full and in fast mode,
in a fresh kernel. Seconds of wall time, kernel start and compilation included; allowed are {full} (full) and {fast}
(fast).

| notebook | full (s) | fast (s) | figures | measured |
|---|---|---|---|---|
"""


def run_notebook(path: Path, mode: str) -> tuple[nbformat.NotebookNode, float]:
    """The executed notebook and the seconds it took; raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": folder}})
        start = time.perf_counter()
        client.execute(env=os.environ | {"NQS_LAB_FAST": "1" if mode == "fast" else "0", "MPLBACKEND": "agg"})
        seconds = time.perf_counter() - start
    return notebook, seconds


def printed(cell: nbformat.NotebookNode) -> str:
    """What a code cell printed."""
    return "".join(out.text for out in cell.get("outputs", []) if out.output_type == "stream" and out.name == "stdout")


def measure(path: Path, pages: Path | None, stamp: dict) -> dict:
    """One row: seconds of both modes, number of figures, key numbers, where and when (`stamp`)."""
    row = {}
    for mode in LIMITS:
        notebook, seconds = run_notebook(path, mode)
        row[mode] = round(seconds, 1)
        if mode == "full":
            row["figures"] = sum("image/png" in o.get("data", {}) for c in notebook.cells for o in c.get("outputs", []))
            row["key"] = [printed(c).rstrip() for c in notebook.cells if "key" in c.metadata.get("tags", [])]
            if pages is not None:
                pages.mkdir(parents=True, exist_ok=True)
                body, _ = HTMLExporter().from_notebook_node(notebook)
                (pages / f"{path.stem}.html").write_text(body, encoding="utf-8")
    return row | {"commit": stamp["commit"], "date": stamp["date"][:10], "machine": stamp["machine"]}


def lessons() -> list[Path]:
    """The notebooks that are lessons, in their order."""
    return [path for path in sorted(FOLDER.glob("*.ipynb")) if re.match(r"\d\d", path.name)]


def status_page(rows: dict[str, dict]) -> str:
    """notebooks/STATUS.md from the rows, with a word on the lessons that have none."""
    text = HEAD.format(**LIMITS)
    for name, row in sorted(rows.items()):
        machine = f"{row['machine']['cores']} cores, {row['machine']['cpu']}"
        where = f"{row['date']}, commit {row['commit']}, {machine}"
        text += f"| {name} | {row['full']:.0f} | {row['fast']:.0f} | {row['figures']} | {where} |\n"
    if missing := [path.stem for path in lessons() if path.stem not in rows]:
        text += f"\nNot measured yet: {', '.join(missing)}.\n"
    text += "\n## Key numbers\n\nAs the lessons printed them in full mode.\n"
    for name, row in sorted(rows.items()):
        for block in row["key"]:
            text += f"\n**{name}**\n\n```\n{block}\n```\n"
    return text


def main() -> int:
    """Measure and write; 1 if a notebook takes longer than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lessons", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", nargs="+", default=None, metavar="NN", help="how the names begin, for example 03 09b_"
    )
    parser.add_argument("--pages", type=Path, default=None, help="folder for HTML pages of the full runs")
    chosen = parser.parse_args()
    rows = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else {}
    slow, stamp = [], provenance()  # once: the rows written below change the checkout
    for path in lessons():
        if chosen.only and not path.name.startswith(tuple(chosen.only)):
            continue
        row = rows[path.stem] = measure(path, chosen.pages, stamp)
        slow += [f"{path.stem} ({mode}: {row[mode]:.0f} s)" for mode in LIMITS if row[mode] > LIMITS[mode]]
        print(f"{path.stem}: full {row['full']:.0f} s, fast {row['fast']:.0f} s, {row['figures']} figures", flush=True)
        ROWS.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        STATUS.write_text(status_page(rows), encoding="utf-8")
    if slow:
        print(f"longer than allowed: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())
