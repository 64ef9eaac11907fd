"""Rebuilding shipped results: the comparison sees what differs, and forgives only what it says."""

import json
from dataclasses import replace

import numpy as np
import pytest

from nqs_lab.cli.main import main
from nqs_lab.lab import results, shipped
from nqs_lab.lab.comparison.setting import Setting
from nqs_lab.lab.comparison.shelf import Shelf
from nqs_lab.lab.reproduce import DATA, Report, compare_json, compare_runs, shelf_values
from nqs_lab.lab.shelf import Outcome
from nqs_lab.spins import square

SETTING = Setting("factored", 0.5, "neel", 11, rate=0.1, diag_shift=1e-3, steps=20)


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_numbers_are_compared_wherever_they_stand(tmp_path):
    rng = np.random.default_rng(0)
    table = {"format": "x", "provenance": {"date": "then"}, "data": {"rows": rng.normal(size=(3, 2)).tolist()}}
    old = write(tmp_path / "old.json", table)
    later = {**table, "provenance": {"date": "now", "more": 1}}
    assert compare_json(old, write(tmp_path / "same.json", later), tolerance=0.0).agrees
    for row, change, agrees in ((2, 0.5e-8, True), (0, 2e-8, False), (1, float("nan"), False)):
        rows = [list(r) for r in table["data"]["rows"]]
        rows[row][1] += change
        report = compare_json(old, write(tmp_path / "new.json", {**table, "data": {"rows": rows}}), tolerance=1e-8)
        assert report.agrees is agrees and report.compared == 7
        assert agrees or f"/data/rows/{row}/1" in str(report)


def test_missing_entries_and_other_words_do_not_agree(tmp_path):
    old = write(tmp_path / "old.json", {"names": ["a", "b"], "x": 1.0})
    for content, told in (({"names": ["a", "c"], "x": 1.0}, "'b' is shipped, 'c'"), ({"names": ["a", "b"]}, "only in")):
        report = compare_json(old, write(tmp_path / "new.json", content), tolerance=1.0)
        assert not report.agrees and told in str(report) and "DOES NOT AGREE" in str(report)
    with pytest.raises(ValueError, match="nothing to compare"):
        compare_json(write(tmp_path / "none.json", {"provenance": {}}), old, tolerance=1.0)


def shelf_of(folder, errors, energies):
    """A shelf with one run a seed; only what is compared is in it."""
    place = Shelf(folder, command="python -m x")
    for seed, error in errors.items():
        place.add(replace(SETTING, seed=seed), Outcome({"relative_error": error}, {"energy": energies}, None))
    return place


def compare_shelves(old, new):
    return compare_runs(shelf_values(old), shelf_values(new))


def test_a_run_may_differ_by_what_the_seeds_differ(tmp_path):
    energies = -8.0 - np.arange(6.0) / 10
    shelf = shelf_of(tmp_path / "shipped", {11: 1e-5, 23: 1e-4, 37: 3e-5}, energies)
    for number, (error, agrees) in enumerate(((1e-5, True), (9e-5, True), (1.2e-4, False), (0.9e-6, False))):
        report = compare_shelves(shelf, shelf_of(tmp_path / f"new{number}", {11: error}, energies))
        assert report.agrees is agrees, str(report)
    bent = energies * np.array([1, 1, 1 + 3e-5, 1, 1, 1])
    assert not compare_shelves(shelf, shelf_of(tmp_path / "bent", {11: 1e-5}, bent)).agrees
    late = energies * np.array([1, 1, 1, 1, 1, 1 + 1e-3])
    assert compare_shelves(shelf, shelf_of(tmp_path / "late", {11: 1e-5}, late)).agrees
    assert not compare_shelves(shelf, shelf_of(tmp_path / "other", {41: 1e-5}, energies)).agrees
    with pytest.raises(ValueError, match="no run was rebuilt"):
        compare_shelves(shelf, shelf_of(tmp_path / "empty", {}, energies))


def test_every_shipped_file_is_on_the_list():
    names = {p.stem for p in DATA.iterdir() if p.suffix == ".json"} | {p.name for p in DATA.iterdir() if p.is_dir()}
    listed = {name.replace("-", "_") for name in shipped.shipped_results()}
    assert {name.replace("j2_scan_4x4", "j2_scan") for name in names} <= listed
    assert all(entry.minutes > 0 and entry.what and entry.error for entry in shipped.shipped_results().values())


def test_the_command_lists_refuses_and_judges(tmp_path, capsys, monkeypatch):
    assert main(["reproduce"]) == 0 and "j2-scan" in capsys.readouterr().out
    assert main(["reproduce", "j3-scan"]) == 2 and "choose from j2-scan" in capsys.readouterr().err
    assert main(["reproduce", "j2-scan", "--only", "0.5", "--out", str(tmp_path)]) == 2
    assert "as a whole" in capsys.readouterr().err
    for agrees, code in ((True, 0), (False, 1)):
        entry = shipped.Shipped("x", "a test", 1, "none", lambda *_: None, lambda _, a=agrees: Report(a, 3, ("seen",)))
        monkeypatch.setattr("nqs_lab.cli.reproduce.result", lambda name, entry=entry: entry)
        assert main(["reproduce", "x", "--out", str(tmp_path)]) == code
        assert ("DOES NOT" in capsys.readouterr().out) is not agrees


def test_an_exact_entry_from_scratch_is_the_shipped_one(tmp_path):
    """Three couplings of the J2 scan, solved again."""
    content = results.build_j2_scan(square(4), [0.0, 0.37, 1.0])
    whole = json.loads((DATA / "j2_scan_4x4.json").read_text(encoding="utf-8"))
    for part in ("rows", "correlations"):
        whole["data"][part] = [whole["data"][part][k] for k in (0, 37, 100)]
    results.write_j2_scan(content, tmp_path / "new.json")
    report = compare_json(write(tmp_path / "old.json", whole), tmp_path / "new.json", tolerance=shipped.EXACT)
    assert report.agrees and report.compared > 60, str(report)


@pytest.mark.slow
def test_a_trained_entry_from_scratch_is_the_shipped_one(tmp_path, capsys):
    """One run of lesson 05, trained again through the command: the same first energies and the same end."""
    run = ["traps-4x4", "--only", "Jastrow", "j2_0.5", "seed11"]
    assert main(["reproduce", *run, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "agrees with the shipped result (1 numbers compared)" in said and "Jastrow-j2_0.5-neel-exact-seed11" in said
