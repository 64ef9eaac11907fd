"""Runs beyond 4x4: lists of settings, exact references, correlations and overlaps from samples, runs that stop."""

import json
import shutil
import time
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs_lab as nl
from nqs_lab.lab.comparison.freezing import freeze_test
from nqs_lab.lab.comparison.setting import tuning_settings
from nqs_lab.lab.filling import TimeIsUp
from nqs_lab.lab.large import __main__ as command, running
from nqs_lab.lab.large.clock import Clock
from nqs_lab.lab.large.collecting import Collected, collect, start_from
from nqs_lab.lab.large.correlating import distances, exact_correlations, sampled_correlations
from nqs_lab.lab.large.measuring import Effort, freeze_sampled, is_symmetrised, measure_symmetrised, symmetrised
from nqs_lab.lab.large.overlapping import one_sided, overlap
from nqs_lab.lab.large.reference import reference
from nqs_lab.lab.large.running import run, trained_model
from nqs_lab.lab.large.setting import FAMILIES, Setting, make_lattice, make_model, make_vmc, settings_of, solved
from nqs_lab.lab.large.training import CHECKPOINT, Trained, claim, look_steps, steps_done, train
from nqs_lab.lab.maps import input_dependence, network, relative_statistics
from nqs_lab.lab.recorder import MapRecorder
from nqs_lab.lab.shelf import Shelf
from nqs_lab.spins.known import SIX_BY_SIX, SIX_BY_SIX_ORDER, bethe_energy, known_energy
from nqs_lab.spins.observables import expectation, fidelity
from nqs_lab.vmc.samples import Samples

TINY = Setting("ring8", "t5", 0.5, "neel", 11, 1, 8, 16, 3, 0.1, 1e-2, heads=2, depth=1)
LITTLE = Effort(5, 2, 3, 2, 8, 3, 2)


# --- exact references


@pytest.mark.parametrize("n", [4, 6, 8, 10, 12])
def test_bethe_energies_are_those_of_diagonalised_rings(n):
    ham = nl.Heisenberg(nl.chain(n).bonds(), np.ones(n), n)
    assert bethe_energy(n) == pytest.approx(nl.ground_state(ham, nl.SpinBasis(n)).energy, abs=1e-10)


def test_bethe_energies_of_long_rings_and_what_is_refused():
    assert bethe_energy(32) == pytest.approx(-14.206527438950, abs=1e-10)
    assert bethe_energy(64) == pytest.approx(-28.374301385353, abs=1e-10)
    excess = [n * n * (0.25 - np.log(2) - bethe_energy(n) / n) for n in (64, 128)]
    assert excess[0] == pytest.approx(np.pi**2 / 12, rel=0.02) and abs(excess[1] / excess[0] - 1) < 0.01
    for n in (2, 7, 0):
        with pytest.raises(ValueError, match="even ring"):
            bethe_energy(n)


def test_known_energies():
    for n in (6, 8, 10):
        found = nl.ground_state(nl.j1j2(nl.chain(n), 0.5), nl.SpinBasis(n)).energy
        assert known_energy(nl.chain(n), 0.5) == pytest.approx(found, abs=1e-9)
    assert known_energy(nl.chain(8), 0) == bethe_energy(8)
    assert known_energy(nl.square(6), 0.8) == pytest.approx(36 * -0.586486599963)
    for lattice, j2 in ((nl.chain(8, periodic=False), 0), (nl.chain(8), 0.3), (nl.square(4), 0), (nl.chain(7), 0)):
        assert known_energy(lattice, j2) is None
    assert known_energy(nl.rectangle(6, 6, periodic=False), 0) is None and known_energy(nl.square(6), 0.12) is None


def test_the_tables_of_the_six_by_six_torus_fit_each_other():
    """E0(J2) is concave; each order falls or grows with J2; and the sum rule limits them."""
    j2 = np.array(list(SIX_BY_SIX))
    slopes = np.diff(list(SIX_BY_SIX.values())) / np.diff(j2)
    assert np.all(np.diff(slopes) < 0)
    neel, stripe = np.array(list(SIX_BY_SIX_ORDER.values())).T
    assert np.all(np.diff(neel) < 0) and np.all(np.diff(stripe) > 0) and list(SIX_BY_SIX_ORDER) == list(SIX_BY_SIX)
    assert np.all(38 * (neel + 2 * stripe) < 36 * 0.75)  # sum over q of S(q) = 3/4 N, no term negative


def test_references_of_small_magnets_are_solved_here():
    for name, j2 in (("ring8", 0.0), ("ring8", 0.5), ("4x4", 0.5)):
        found, lattice = reference(replace(TINY, lattice=name, j2=j2)), make_lattice(name)
        assert found.energy == pytest.approx(solved(name, j2).ground.energy, abs=1e-9)
        bonds = [nl.j1j2(lattice, j2).bonds, nl.j1j2(lattice, j2).coupling]
        shift = [lattice.coordinates[int(j)] for _, j in bonds[0]], [lattice.coordinates[int(i)] for i, _ in bonds[0]]
        r = lattice.sites(np.array(shift[0]) - np.array(shift[1]))
        assert found.c is not None
        assert np.sum(np.asarray(bonds[1]) * found.c[r]) == pytest.approx(found.energy, abs=1e-9)
        assert found.order["total spin"] == pytest.approx(0, abs=1e-9)
    large = reference(replace(TINY, lattice="6x6", j2=0.8))
    assert large.order["stripe"] == pytest.approx(38 * 0.11370) and large.c is None
    assert reference(replace(TINY, lattice="ring64", j2=0.5)).energy == -24


# --- the lists


def test_every_list_is_paired_and_every_prefix_balanced():
    tuning = {s.seed for s in tuning_settings()}
    for family in FAMILIES:
        settings = settings_of(family)
        assert len({s.name for s in settings}) == len(settings)
        for first, second in zip(settings[::2], settings[1::2], strict=True):
            assert (first.attention, second.attention) == ("t5", "factored")
            assert replace(first, attention="factored") == second
            assert first.sign == ("neel" if first.j2 <= 0.5 else "stripe") and first.seed not in tuning
        recipes = {(s.patch, s.width, s.depth, s.heads, s.rate, s.diag_shift) for s in settings}
        assert len(recipes) == 1
        assert known_energy(make_lattice(settings[0].lattice), 0.5) is not None or family == "sqrt20"
    assert [(s.lattice, s.j2) for s in settings_of("torus")[::2]] == [("6x6", 0.5), ("6x6", 0.0), ("6x6", 0.8)]
    chains = settings_of("chains")
    assert len(chains) == 36 and len({s.seed for s in chains[:12]}) == 1
    assert {(s.lattice, s.j2) for s in chains[:12]} == {(f"ring{n}", j) for n in (16, 32, 64) for j in (0.0, 0.5)}
    assert {s.chains for s in settings_of("sqrt20")} == {0} and len(settings_of("sqrt20")) == 4
    with pytest.raises(ValueError, match="expected one of"):
        settings_of("cube")


def test_lattices_by_name_and_types_that_share_their_weights():
    assert make_lattice("6x6") == nl.square(6) and make_lattice("ring32") == nl.chain(32)
    assert make_lattice("sqrt20") == nl.tilted(20)
    for bad in ("six", "ring", "6", "ring 8"):
        with pytest.raises(ValueError, match="expected a lattice"):
            make_lattice(bad)
    one, other = (network(make_model(s)) for s in settings_of("torus")[:2])
    np.testing.assert_array_equal(one.blocks[1].mixer.value.weight, other.blocks[1].mixer.value.weight)
    assert look_steps(2000)[0] == 0 and look_steps(2000)[-1] == 2000 and len(look_steps(2000)) == 11
    assert look_steps(3) == (0, 3)


# --- correlations and overlaps from samples


def magnet(n=8, kind="t5", seed=0, depth=2):
    """A small ring, solved, and a network with parameters of order one on it."""
    vit = nl.ViT(
        nl.chain(n),
        patch=1,
        width=8,
        heads=2,
        depth=depth,
        attention=kind,
        dtype=jnp.float64,
        key=jax.random.key(seed),
    )
    # Modulus and phase of psi vary by a factor of a few, so that every configuration is met.
    parts = [6 * vit.head.real.weight, 6 * vit.head.imag.weight]
    vit = eqx.tree_at(lambda m: [m.head.real.weight, m.head.imag.weight], vit, parts)
    return solved(f"ring{n}", 0.5), nl.MarshallSign(vit, nl.chain(n))


def independent(model, basis, draws, chains, seed=0):
    """Samples of |psi|^2 drawn from the exact probabilities, as `collect` would give them."""
    psi = nl.state_vector(model, basis)
    p = np.abs(psi) ** 2
    index = np.random.default_rng(seed).choice(len(p), size=(draws, chains), p=p / p.sum())
    log_psi = np.asarray(jax.vmap(model)(jnp.asarray(basis.configurations())), np.complex128)
    return Collected(basis.configurations()[index], log_psi[index], np.zeros((draws, chains), complex))


@pytest.mark.parametrize("lattice", [nl.chain(8), nl.square(4), nl.rectangle(4, 6), nl.tilted(20)])
def test_every_pair_of_sites_belongs_to_one_distance(lattice):
    groups, n = distances(lattice), lattice.n_sites
    pairs = np.concatenate([group.pairs for group in groups])
    assert len(pairs) == n * (n - 1) // 2 == len(np.unique(pairs, axis=0))
    assert sorted(site for group in groups for site in group.sites) == list(range(1, n))
    for group in groups:
        for i, j in group.pairs:
            step = np.array(lattice.coordinates[j]) - np.array(lattice.coordinates[i])
            assert lattice.site(int(step[0]), int(step[1])) in group.sites


def test_exact_correlations_are_those_of_the_library():
    small, model = magnet(seed=3)
    psi = nl.state_vector(model, small.basis)
    found = exact_correlations(psi, small.basis, small.lattice)
    np.testing.assert_allclose(found.c, nl.correlations(psi, small.basis), atol=1e-12)
    for momentum, s in zip(found.momenta, found.s, strict=True):
        q = small.lattice.wavevector(tuple(momentum.tolist()))
        assert s == pytest.approx(nl.structure_factor(found.c, small.lattice, q), abs=1e-12)
    assert found.at(small.lattice, "M") == (pytest.approx(found.s[4]), 0)
    assert np.max(found.c_error) < 1e-15 and found.s[0] > 0.01  # no singlet: 3 <Sz Sz> would be wrong here
    with pytest.raises(ValueError, match="periodic"):
        distances(nl.chain(6, periodic=False))


def test_sampled_correlations_agree_within_their_errors():
    small, model = magnet(seed=3)
    samples = independent(model, small.basis, 4, 600, seed=5)
    found = sampled_correlations(model, small.lattice, samples.sigma, samples.log_psi, chunk_size=64)
    exact = exact_correlations(nl.state_vector(model, small.basis), small.basis, small.lattice)
    pull = np.concatenate([(found.c - exact.c)[1:] / found.c_error[1:], (found.s - exact.s) / found.s_error])
    assert np.abs(pull).max() < 4 and 0.3 < np.sqrt(np.mean(pull**2)) < 1.8
    assert found.c[0] == 0.75 and found.c_error[0] == 0 and found.c_error[1:].max() < 0.02
    assert found.at(small.lattice, "Gamma")[1] > 0


@pytest.mark.parametrize(("size", "scale"), [(0.1, 1e-1), (1e-3, 1e-6)])
def test_a_sampled_overlap_agrees_within_its_error(size, scale):
    small, first = magnet(seed=1)
    noise = jax.tree.map(
        lambda x: (
            x + size * jnp.sin(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape) if eqx.is_inexact_array(x) else x
        ),
        network(first).head,
    )
    second = eqx.tree_at(lambda m: m.ansatz.head, first, noise)
    vectors = [nl.state_vector(model, small.basis) for model in (first, second)]
    exact = 1 - fidelity(*vectors)
    samples = [independent(model, small.basis, 4, 500, seed=k) for k, model in enumerate((first, second))]
    found = overlap(first, second, *samples)
    assert exact > scale / 30 and abs(found.infidelity - exact) < 4 * found.error and found.error < 0.4 * exact
    assert found.infidelity == pytest.approx((found.from_first + found.from_second) / 2)
    same = overlap(first, first, samples[0], samples[0])
    assert same.infidelity < 1e-14 and same.error < 1e-14


def test_a_one_sided_overlap_is_a_variance_and_its_jackknife_that_of_brute_force():
    rng = np.random.default_rng(2)
    own, other = (rng.normal(size=(3, 7)) + 1j * rng.normal(size=(3, 7)) for _ in range(2))
    w = np.exp(other - own)

    def brute(w):
        return 1 - abs(w.mean()) ** 2 / np.mean(np.abs(w) ** 2)

    value, error = one_sided(own, other)
    assert value == pytest.approx(brute(w), abs=1e-12)
    left = np.array([brute(np.delete(w, k, axis=1)) for k in range(7)])
    assert error == pytest.approx(np.sqrt(6 / 7 * np.sum((left - left.mean()) ** 2)), rel=1e-10)
    assert one_sided(own, own + 3 - 2j)[0] < 1e-14  # norm and phase do not count


def test_the_sampled_freeze_test_agrees_with_the_exact_one(tmp_path):
    small, model = magnet(seed=2, depth=1)
    setting = replace(TINY, chains=256)
    vmc = make_vmc(setting)
    state = vmc.init(model, key=jax.random.key(1))
    sigma = jnp.asarray(small.basis.configurations())
    psi = nl.state_vector(model, small.basis)
    whole = Samples(sigma, jnp.log(jnp.asarray(psi)), jnp.asarray(np.abs(psi) ** 2), jax.random.key(0), jnp.ones(()))
    rows, _ = relative_statistics(model, whole)
    fresh = independent(model, small.basis, 8, 256)
    energy = expectation(small.ham, psi, small.basis)
    fresh = fresh._replace(e_loc=np.full((8, 256), energy + 0j))
    trained = Trained(vmc, state, nl.History(), MapRecorder(()))
    found = freeze_sampled(setting, trained, fresh, rows, tmp_path, Clock(), Effort(8, 2, 8, 5))
    exact = freeze_test(model, rows, small)
    assert set(found) == set(exact) == {"mean", "uniform", "displaced", "layer 1"}
    for name, loss in exact.items():
        assert abs(found[name]["energy"] - loss.energy) < 4.5 * found[name]["error"]
        assert abs(found[name]["infidelity"] - loss.to_trained) < 4.5 * found[name]["infidelity_error"]
        assert found[name]["lost"] == pytest.approx(found[name]["energy"] - energy)
    assert exact["mean"].to_trained > 1e-3 and exact["uniform"].to_trained > 1e-4


def test_input_dependence():
    mean = np.array([[[0.1, 0.5, 0.4], [1 / 3, 1 / 3, 1 / 3]]])
    deviation = np.array([[[0.03, 0.04, 0.0], [0.0, 0.0, 0.0]]])
    found = input_dependence(mean, deviation)
    assert found[0, 0] == pytest.approx(0.05 / np.linalg.norm(mean[0, 0] - 1 / 3)) and found[0, 1] == 0
    assert input_dependence(np.full((1, 1, 4), 0.25), np.full((1, 1, 4), 0.1))[0, 0] == np.inf


# --- runs


class Impatient(Clock):
    """A clock that is over after so many questions."""

    def __init__(self, questions):
        super().__init__()
        self.left = questions

    @property
    def over(self):
        self.left -= 1
        return self.left < 0


def same(one, other):
    """Two outcomes, bit for bit, but for the seconds."""
    for name, array in one.arrays.items():
        assert name == "seconds" or array.tobytes() == other.arrays[name].tobytes(), name
    told = [{k: v for k, v in x.numbers.items() if not k.endswith("seconds")} for x in (one, other)]
    assert json.dumps(told[0]) == json.dumps(told[1])
    return True


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return run(TINY, tmp_path_factory.mktemp("run") / "whole", Clock(), effort=LITTLE)


def test_a_run_that_is_stopped_again_and_again_ends_as_one_that_is_not(outcome, tmp_path):
    stops, copied = 0, False
    for questions in (1, 0, 1, 4, 3, 5, 1, 100):
        try:
            stopped = run(TINY, tmp_path / "stopped", Impatient(questions), effort=LITTLE)
            break
        except TimeIsUp:
            stops += 1
        if stops == 1:  # what a kill leaves: everything after this is lost
            shutil.copytree(tmp_path / "stopped", tmp_path / "killed")
            copied = True
    assert stops > 4 and copied and same(stopped, outcome)
    assert 0 < steps_done(tmp_path / "killed") < 3 == steps_done(tmp_path / "stopped")
    assert same(run(TINY, tmp_path / "killed", Clock(), effort=LITTLE), outcome)


def test_what_a_sampled_run_records(outcome):
    numbers, arrays = outcome.numbers, outcome.arrays
    assert numbers["exact"] == -3 and numbers["steps"] == 3 and numbers["tokens"] == 8 and numbers["samples"] == 80
    assert numbers["relative_error"] == pytest.approx(abs(numbers["energy"] / -3 - 1)) and numbers["error"] > 0
    assert numbers["v_score"] == pytest.approx(8 * numbers["variance"] / numbers["energy"] ** 2)
    assert numbers["parameters"] == len(arrays["weights"]) and arrays["weights"].dtype == np.float32
    assert arrays["map_steps"].tolist() == [0, 3] and arrays["map_mean"].shape == (2, 1, 2, 8)
    np.testing.assert_allclose(arrays["map_mean"].sum(-1), 1, atol=1e-5)
    assert np.all(arrays["map_deviation_random"] > 0) and len(arrays["energy"]) == 3
    assert set(numbers["freeze"]) == {"mean", "uniform", "displaced", "layer 1"}
    assert set(numbers["order"]) == {"neel", "total spin"} and "symmetrised" not in numbers
    assert numbers["order"]["neel"]["exact"] == pytest.approx(reference(TINY).order["neel"])
    assert len(arrays["correlations"]) == len(arrays["structure_factor"]) == 8
    sigma = jnp.asarray(solved("ring8", 0.5).basis.configurations()[5])
    assert trained_model(TINY, arrays["weights"])(sigma) == outcome.model(sigma)
    with pytest.raises(ValueError, match="parameters, got"):
        trained_model(TINY, arrays["weights"][1:])


def test_looking_at_the_maps_does_not_disturb_the_training(outcome):
    vmc, history = make_vmc(TINY), nl.History()
    state = vmc.init(make_model(TINY), key=jax.random.key(TINY.seed))
    nl.run(vmc, state, 3, callbacks=[history])
    np.testing.assert_array_equal(history["energy"], outcome.arrays["energy"])
    random = outcome.arrays["map_mean_random"], outcome.arrays["map_mean"]
    assert np.all(random[0] != random[1])


def test_a_checkpoint_is_written_when_seconds_have_passed(tmp_path):
    vmc = make_vmc(TINY)
    state = vmc.init(make_model(TINY), key=jax.random.key(0))
    written = []

    class Watch(nl.Callback):
        last = True

        def on_step(self, record, state):
            written.append((tmp_path / "c.npz").exists() and nl.store.read_header(tmp_path / "c.npz")["header"]["step"])

    nl.run(vmc, state, 2, callbacks=[nl.Checkpoint(tmp_path / "c.npz", every=100, seconds=1e-6), Watch()])
    nl.run(vmc, state, 1, callbacks=[nl.Checkpoint(tmp_path / "d.npz", every=100, seconds=1e6), Watch()])
    assert written == [1, 2, 2]
    with pytest.raises(ValueError, match="seconds must be positive"):
        nl.Checkpoint(tmp_path / "e.npz", seconds=0)


def test_fresh_samples_are_those_of_measure(tmp_path):
    trained = train(TINY, tmp_path / "run", Clock())
    fresh = collect(
        trained.vmc,
        trained.state.model,
        trained.state.samples,
        6,
        discard=1,
        file=tmp_path / "fresh.npz",
        clock=Clock(),
    )
    stats = nl.measure(trained.vmc, trained.state, n_draws=6)
    assert fresh.energy.mean == stats.mean and fresh.energy.error == stats.error
    with pytest.raises(ValueError, match="another kind of tree"):  # a file of other sizes
        collect(
            trained.vmc,
            trained.state.model,
            trained.state.samples,
            5,
            discard=1,
            file=tmp_path / "fresh.npz",
            clock=Clock(),
        )
    assert start_from(trained.state.samples, 4, 1).sigma.shape == (4, 8)
    with pytest.raises(ValueError, match="at most 16 chains"):
        start_from(trained.state.samples, 17, 1)


def test_a_symmetrised_state_is_measured_by_its_own_samples(tmp_path):
    small = solved("ring8", 0.5)
    vit = nl.ViT(small.lattice, patch=2, width=8, heads=2, depth=1, key=jax.random.key(5))
    vit = eqx.tree_at(lambda m: m.head.real.weight, vit, 10 * vit.head.real.weight)
    model, vmc = nl.MarshallSign(vit, small.lattice), make_vmc(replace(TINY, chains=64))
    trained = Trained(vmc, vmc.init(model, key=jax.random.key(6)), nl.History(), MapRecorder(()))
    levels, effort = symmetrised(model, small.lattice), Effort(5, 2, 3, 4, 64, 20, 8)
    assert [len(level.representatives) for level in levels.values()] == [2, 4, 8]
    name, most = list(levels.items())[-1]
    numbers, arrays = measure_symmetrised(name, most, trained, reference(TINY), tmp_path, Clock(), effort)
    psi = nl.state_vector(most, small.basis)
    energy = expectation(small.ham, psi, small.basis)
    assert abs(numbers["energy"] - energy) < 4.5 * numbers["error"] and numbers["error"] < 0.1
    exact = exact_correlations(psi, small.basis, small.lattice)
    assert (
        abs(numbers["order"]["neel"]["value"] - exact.at(small.lattice, "M")[0])
        < 4.5 * arrays["symmetrised_structure_factor_error"].max()
    )
    six = nl.ViT(nl.square(6), patch=2, width=4, heads=1, depth=1, key=jax.random.key(0))
    counts = [len(m.representatives) for m in symmetrised(nl.MarshallSign(six, nl.square(6)), nl.square(6)).values()]
    assert counts == [4, 32, 64]
    patched = replace(TINY, attention="factored", patch=2)
    assert is_symmetrised(patched) and not is_symmetrised(replace(patched, j2=0.0)) and not is_symmetrised(TINY)


def test_a_summed_run_is_exact(tmp_path):
    setting = replace(TINY, chains=0)
    found = run(setting, tmp_path / "run", Clock())
    small = solved("ring8", 0.5)
    psi = nl.state_vector(found.model, small.basis)
    numbers = found.numbers
    assert numbers["energy"] == pytest.approx(expectation(small.ham, psi, small.basis), abs=1e-5)
    assert numbers["error"] == 0 and numbers["infidelity"] == pytest.approx(1 - fidelity(psi, small.ground.state))
    assert set(numbers["freeze"]) == {"mean", "uniform", "displaced", "layer 1"}
    np.testing.assert_allclose(found.arrays["correlations"], nl.correlations(psi, small.basis), atol=1e-10)
    try:
        run(setting, tmp_path / "stopped", Impatient(1))
    except TimeIsUp:
        again = run(setting, tmp_path / "stopped", Clock())
    assert same(again, found)


# --- files that are refused


def test_folders_of_other_runs_are_refused(tmp_path):
    claim(tmp_path / "a", TINY)
    claim(tmp_path / "a", TINY)  # one's own again
    with pytest.raises(ValueError, match="other settings"):
        claim(tmp_path / "a", replace(TINY, rate=0.2))
    (tmp_path / "a" / "setting.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        claim(tmp_path / "a", TINY)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "letter.txt").write_text("Dear")
    with pytest.raises(ValueError, match="holds no run"):
        claim(tmp_path / "b", TINY)


def test_checkpoints_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(TimeIsUp):
        run(TINY, tmp_path / "run", Impatient(1), effort=LITTLE)
    file = tmp_path / "run" / CHECKPOINT
    file.write_bytes(file.read_bytes()[:-200])
    for reader in (lambda: run(TINY, tmp_path / "run", Clock()), lambda: steps_done(tmp_path / "run")):
        with pytest.raises(ValueError, match="damaged"):
            reader()
    nl.store.save(file, {"a": np.ones(2)})
    for reader in (lambda: run(TINY, tmp_path / "run", Clock()), lambda: steps_done(tmp_path / "run")):
        with pytest.raises(ValueError, match="no checkpoint"):
            reader()


def test_a_shelf_keeps_runs_and_refuses_what_is_not_its_own(outcome, tmp_path):
    place = command.shelf("chains", tmp_path)
    row = place.add(TINY, outcome)
    again = command.shelf("chains", tmp_path)
    start = time.perf_counter()
    arrays = again.arrays(again.rows[0])
    assert time.perf_counter() - start < 0.2
    np.testing.assert_array_equal(arrays["weights"], outcome.arrays["weights"])
    assert json.dumps(again.rows[0].numbers) == json.dumps(row.numbers) and "commit" in again.rows[0].provenance
    place.add(replace(TINY, rate=0.3), outcome)  # the same name: its arrays have replaced the other's
    assert [r.setting.rate for r in command.shelf("chains", tmp_path).rows] == [0.3]
    index, file = (tmp_path / "large_chains" / name for name in ("index.json", f"{TINY.name}.npz"))
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match="damaged"):
        again.arrays(again.rows[0])
    text = index.read_text()
    for content, match in (
        (text[:-40], "damaged"),
        (text.replace("nqs_lab-runs-1", "nqs_lab-runs-9"), "index of format"),
        (text.replace('"lattice"', '"grid"'), "settings of"),
    ):
        index.write_text(content)
        with pytest.raises(ValueError, match=match):
            Shelf(tmp_path / "large_chains", command="", kind=Setting)


# --- the command


def test_the_command_trains_lists_and_stops(tmp_path, capsys, monkeypatch):
    other = replace(TINY, attention="factored")
    monkeypatch.setattr(command, "settings_of", lambda family: [TINY, other])
    monkeypatch.setattr(running, "usual_effort", lambda setting: LITTLE)
    where = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    assert command.main(["chains", "--minutes", "0", *where]) == 3
    assert "0 of 2 runs are there" in capsys.readouterr().out
    assert command.main(["chains", "--only", "t5", *where]) == 0
    told = capsys.readouterr().out
    assert "1/1 ring8-t5" in told and "V-score" in told
    assert command.main(["chains", "--list", *where]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("x ring8-t5") and told[1].strip() == f"{other.name}: 0 of 3 steps"
    assert command.main(["chains", "--only", "spiral", *where]) == 2
    assert "no run of chains" in capsys.readouterr().err

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", stop)
    assert command.main(["chains", *where]) == 130 and "what was done is kept" in capsys.readouterr().out
