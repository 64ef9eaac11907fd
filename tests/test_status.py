"""The status page of the lessons: generated from measurements, and every measurement within its limit."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ABOVE = {("07_transformer_wave_function", "fast"): 25}
"""Known to take longer than allowed, and how long: a debt, to be paid off."""


@pytest.fixture(scope="module")
def measuring():
    """The module benchmarks/lessons.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("measuring_lessons", ROOT / "benchmarks" / "lessons.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_status_page_is_generated_and_within_the_limits(measuring):
    rows = json.loads(measuring.ROWS.read_text(encoding="utf-8"))
    assert len(rows) >= 8 and set(rows) <= {path.stem for path in measuring.lessons()}
    assert measuring.STATUS.read_text(encoding="utf-8") == measuring.status_page(rows), (
        "run python -m benchmarks.lessons"
    )
    for name, row in rows.items():
        for mode, limit in measuring.LIMITS.items():
            assert row[mode] <= ABOVE.get((name, mode), limit), f"{name} takes {row[mode]} s in {mode} mode"
    for name, row in rows.items():
        assert row["figures"] > 0 and row["key"] and all(row["key"]), f"{name}: no figure, or no key number"
        assert row["commit"] and not row["commit"].endswith("dirty"), f"{name}: measured on changed files"


def test_a_lesson_without_a_row_is_named(measuring):
    rows = json.loads(measuring.ROWS.read_text(encoding="utf-8"))
    name, row = sorted(rows.items())[0]
    rest = {other: rows[other] for other in rows if other != name}
    page = measuring.status_page(rest)
    assert f"Not measured yet: {name}" in page and f"| {name} |" not in page
    assert f"| {name} | {row['full']:.0f} |" in measuring.status_page(rows)
