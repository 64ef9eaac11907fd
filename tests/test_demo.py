"""The demo itself: the control ends at its computed floor, everything is saved, Ctrl-C keeps what is done."""

import json
from itertools import combinations

import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab import demo

E0 = -0.528620209462  # 4x4, J2 = 0.5, per site, see oracles.py


@pytest.mark.parametrize(("shape", "j2"), [((2, 4), 0.0), ((4, 4), 0.5), ((4, 4), 0.8)])
def test_the_floor_is_the_energy_of_the_sign_rotated_uniform_state(shape, j2):
    """<S_i.S_j> in the uniform state of Sz = 0 with the Neel sign, counted by hand on every pair of sites."""
    lattice = nl.rectangle(*shape) if shape[0] > 2 else nl.chain(8)
    ham, basis = nl.j1j2(lattice, j2=j2), nl.SpinBasis(lattice)
    n = lattice.n_sites
    # <Sz Sz> = -1/(4 (n-1)); the exchange finds an antiparallel pair with probability n / (2 (n-1)), with the sign -1
    # between the sublattices and +1 within one.
    expected = 0.0
    sublattice = np.asarray(lattice.order("neel"))
    for (i, j), coupling in zip(np.asarray(ham.bonds), np.asarray(ham.coupling), strict=True):
        exchange = n / (2 * (n - 1)) / 2
        expected += coupling * (-1 / (4 * (n - 1)) + (exchange if sublattice[i] == sublattice[j] else -exchange))
    assert demo.content_floor(lattice, ham, basis) == pytest.approx(expected, abs=1e-12)
    assert len(list(combinations(range(n), n // 2))) == basis.dim


@pytest.mark.slow
def test_the_control_ends_at_its_floor_and_everything_is_saved(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo, "KINDS", ("factored", "dot-product"))
    assert demo.run_demo(quick=True, out=tmp_path, seed=5) == 0
    told = capsys.readouterr().out
    saved = json.loads((tmp_path / "demo.json").read_text())
    positions, control = saved["runs"]
    assert saved["exact"] == pytest.approx(16 * E0, abs=1e-8)
    assert control["energy"] == pytest.approx(saved["settings"]["floor"], rel=1e-5)
    assert saved["exact"] < positions["energy"] < 0.98 * saved["exact"], "25 steps of the small network: within 2 %"
    assert 0 < positions["infidelity"] < 0.2 and len(positions["energies"]) == 25
    assert positions["relative_error"] == pytest.approx(abs(positions["energy"] / saved["exact"] - 1), abs=1e-12)
    assert saved["provenance"]["versions"]["jax"] and saved["settings"]["seed"] == 5
    assert (tmp_path / "demo.png").stat().st_size > 20_000
    assert f"{E0:.6f}" in told and "no verdict" in told and "factored" in told


def test_ctrl_c_keeps_what_is_done(monkeypatch, tmp_path, capsys):
    def train(kind, vmc, ground, steps, seed, quick):
        if kind != demo.KINDS[0]:
            raise KeyboardInterrupt
        rows = np.full((1, 4, 16), 1 / 16)
        return demo.Outcome(kind, -8.0, 0.05, 0.1, 100, 1.0, np.array([-7.0, -8.0]), rows, 0.0)

    monkeypatch.setattr(demo, "_train", train)
    assert demo.run_demo(quick=True, out=tmp_path, seed=0) == 130
    assert [run["kind"] for run in json.loads((tmp_path / "demo.json").read_text())["runs"]] == [demo.KINDS[0]]
    assert "what is finished is kept" in capsys.readouterr().out
