"""Runs that nobody trained: shelves of the shape of the real ones, with numbers of our choice, for quick tests."""

from dataclasses import replace

import numpy as np

from nqs_lab.lab.comparison.setting import TYPES, Setting, default_sign
from nqs_lab.lab.comparison.shelf import Shelf
from nqs_lab.lab.notebook import seeds
from nqs_lab.lab.results import load_j2_scan
from nqs_lab.lab.shelf import Outcome

STEPS = (0, 2, 5, 10)
FREEZE = {"mean": 1e-4, "uniform": 0.2, "displaced": 0.4, "layer 1": 3e-5, "layer 2": 6e-5}


def arrays(setting, *, ratio=(0.8, 0.4, 0.2, 0.05), random=1.5, size=10):
    """Learning curve, maps and correlations of a made-up run: R of every head is `ratio`, `random` times that."""
    rng = np.random.default_rng([setting.seed, round(10 * setting.j2), len(setting.attention)])
    mean = rng.normal(size=(len(STEPS), 2, 4, 16))
    if setting.attention == "t5":
        mean = np.exp(mean) / np.exp(mean).sum(axis=-1, keepdims=True)
    positions = np.sqrt(np.sum((mean - mean.mean(-1, keepdims=True)) ** 2, axis=-1))
    level = np.zeros(len(STEPS)) if setting.attention == "factored" else np.array(ratio)
    deviation = np.broadcast_to((level[:, None, None] * positions / 4)[..., None], mean.shape)
    exact = load_j2_scan().at(setting.j2)
    steps = np.arange(setting.steps)
    curve = exact.energy * (1 - 0.3 * np.exp(-steps / 5))
    return {
        "energy": curve,
        "variance": np.exp(-steps / 5.0),
        "map_steps": np.array(STEPS),
        "map_mean": mean.astype(np.float32),
        "map_deviation": deviation.astype(np.float32),
        "map_mean_random": mean.astype(np.float32),
        "map_deviation_random": (random * deviation).astype(np.float32),
        "correlations": exact.correlations + 1e-3 * rng.normal(size=16),
        "weights": rng.normal(size=size).astype(np.float32),
    }


def numbers(setting, *, error=1e-4, lost=None, seconds=0.1):
    """The numbers of a made-up run with this relative error; `lost`: energy (J1) that each replacement costs."""
    exact = load_j2_scan().at(setting.j2).energy
    energy = exact * (1 - error)
    lost = dict.fromkeys(FREEZE, 0.0) | {"uniform": 0.2, "displaced": 0.4} if lost is None else lost
    if setting.attention != "factored" and lost.get("mean") == 0.0:
        lost = FREEZE
    return {
        "energy": energy,
        "exact": exact,
        "relative_error": error,
        "variance": error,
        "infidelity": 3 * error,
        "sign_accuracy": 1 - error / 10,
        "parameters": 6208 if setting.attention == "factored" else 7296,
        "steps": setting.steps,
        "not_finite": 0,
        "seconds": 12.0,
        "step_seconds": seconds,
        "freeze": {k: {"energy": energy + v, "to_trained": v / 2, "to_exact": v} for k, v in lost.items()},
    }


def add(shelf, setting, *, ratio=(0.8, 0.4, 0.2, 0.05), random=1.5, **wanted):
    """Put one made-up run on a shelf."""
    return shelf.add(setting, Outcome(numbers(setting, **wanted), arrays(setting, ratio=ratio, random=random), None))


def grid(folder, *, n_seeds=2, couplings=(0.0, 0.5, 1.0), spread=0.1, factor=1.0, noise_seed=0):
    """A made-up grid: errors scatter by `spread` in log10, those of factored are `factor` times larger."""
    shelf, rng = Shelf(folder, command="make the grid"), np.random.default_rng(noise_seed)
    for seed in seeds(n_seeds):
        common = rng.normal(scale=1.0)  # a seed is good or bad for all types alike: this is why they are paired
        for j2 in couplings:
            for kind in TYPES:
                level = -4 + common + rng.normal(scale=spread) + (np.log10(factor) if kind == "factored" else 0.0)
                setting = Setting(kind, j2, default_sign(j2), seed, 0.1, 1e-3, steps=10)
                seconds = 0.1 * (0.9 if kind == "factored" else 1.0) * (1 + 0.01 * rng.normal())
                add(shelf, setting, error=float(10**level), seconds=seconds)
        wide = replace(setting, attention="factored", mlp_ratio=5)
        add(shelf, wide, error=float(10 ** (-4 + common)), seconds=0.1)
    return shelf
