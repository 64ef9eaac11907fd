"""nqs-lab train-lm: a small language model from a corpus to written text, which survives Ctrl-C and power cuts."""

import argparse
import csv
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

import nqs_lab as nl
from nqs_lab import language
from nqs_lab.cli.main import INTERRUPTED
from nqs_lab.cli.train import SETTINGS, positive
from nqs_lab.language import model as models, running, training
from nqs_lab.store import provenance

CHECKPOINT, CURVE, RESULT, SAMPLE = "checkpoint.npz", "curve.csv", "result.json", "sample.txt"
CORPORA = ("grammar", "docstrings", "tinystories")
STEPS, BLOCK, JUDGED, WRITTEN, TOLD = 1000, 128, 120, 200, 10
PROMPTS = {"grammar": "\n", "docstrings": "Return", "tinystories": "Once upon a time"}


def train_lm(args: argparse.Namespace) -> int:
    """Start or resume a run; 0 when it is finished, 130 when Ctrl-C stopped it (with everything kept)."""
    settings, folder = _settings(args)
    if (folder / SETTINGS).exists() and args.resume is None:
        raise ValueError(f"{folder} holds a run already: go on with --resume {folder}, or choose another --out")
    nl.enable_x64()
    nl.use_cores()
    job = Job(settings)
    print(job.text(), flush=True)
    state = training.start(job.model, job.recipe, allow_leak=settings["allow_leak"])
    print(f"causality probe: changing the tokens to come changes the logits by {state.leak:.1e} of their size")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CHECKPOINT
    if args.resume is None:
        (folder / SETTINGS).write_text(json.dumps(settings | {"provenance": provenance()}, indent=1), encoding="utf-8")
    elif file.exists():
        print(f"going on after step {running.checkpoint_step(file)}")
    key, told = training.training_key(settings["seed"]), Progress(job.recipe)
    try:
        fitted = running.fit(state, job.recipe, job.material, key, keep=file, until=args.until, on_step=told)
    except KeyboardInterrupt:
        print(f"\nstopped, all kept. To go on:\n  nqs-lab train-lm --resume {folder}", file=sys.stderr)
        return INTERRUPTED
    return _report(job, fitted, folder)


class Job:
    """What the settings stand for: text, tokens, model and recipe."""

    def __init__(self, settings: dict[str, Any]):
        self.settings = s = settings
        self.corpus, grammar = _corpus(s)
        bytes_only = s["vocabulary"] == 256
        self.tokens = language.Bytes() if bytes_only else language.learn_pieces(self.corpus.train_text, s["vocabulary"])
        held = self.tokens.encode(self.corpus.held_out_text)
        count = min(JUDGED, (len(held) - 1) // s["block"])
        if count < 1:
            raise ValueError(
                f"the held-out text has {len(held)} tokens, fewer than a block of {s['block']}: take --block"
            )
        pieces = language.fixed_blocks(held, s["block"], count)
        self.material = running.Material(self.tokens.encode(self.corpus.train_text), pieces)
        self.floor = None
        if grammar is not None:
            per_token = len(self.corpus.held_out_text) / len(held)
            self.floor = grammar.floor() * per_token
        options = {"force": "leaking"} if s["leaking"] else None
        self.model = models.LanguageModel(
            self.tokens.size, s["block"], dynamics_options=options, key=jax.random.key(s["seed"]),
            **{name: s[name] for name in ("width", "heads", "depth", "attention", "dynamics")},
        )  # fmt: skip
        names = ("rate", "steps", "batch")
        warm_up, look = min(150, max(1, s["steps"] // 4)), max(1, min(100, s["steps"] // 10))
        self.recipe = training.Recipe(**{name: s[name] for name in names}, warm_up=warm_up, look=look)

    def text(self) -> str:
        """The run in a few lines, with the digest of the corpus."""
        s, r, size = self.settings, self.recipe, nl.count_parameters(self.model)
        floor = "" if self.floor is None else f"; no model can do better than {self.floor:.3f} nats per token"
        return (
            f"{self.corpus}\n{self.tokens.size} tokens, {len(self.material.tokens):,} of them to learn from{floor}\n"
            f"{s['dynamics']} dynamics, {s['attention']} attention, {size:,} parameters, width {s['width']}, "
            f"{s['heads']} heads, depth {s['depth']}\n{r.steps} steps of {r.batch} x {s['block']} tokens, rate "
            f"{r.rate:g}, seed {s['seed']}"
        )


class Progress:
    """A line at every evaluation on the held-out text."""

    def __init__(self, recipe: training.Recipe):
        self.recipe, self.begin = recipe, time.perf_counter()

    def __call__(self, state: training.TrainState, info: training.StepInfo) -> None:
        """Say where the run stands, if it was just judged."""
        step = int(state.step)
        if step in self.recipe.looks:
            judged = float(state.judged[self.recipe.looks.index(step)])
            print(f"step {step:5d} of {self.recipe.steps}: loss {float(info.loss):.4f}, held out {judged:.4f} nats per "
                  f"token ({time.perf_counter() - self.begin:.0f} s)", flush=True)  # fmt: skip


def _corpus(settings: dict[str, Any]) -> tuple[language.Corpus, language.StoryGrammar | None]:
    """The text, and the grammar where one made it."""
    if settings["corpus"] == "docstrings":
        return language.docstrings(), None
    if settings["corpus"] == "tinystories":
        return language.tinystories(cache=Path("runs") / "tinystories.npz"), None
    grammar = language.StoryGrammar(settings["memory"], cast=4, things=8)
    return language.stories(grammar, train=settings["stories"]), grammar


def _settings(args: argparse.Namespace) -> tuple[dict[str, Any], Path]:
    """All settings of the run and its folder; those of a resumed run come from its folder."""
    positive("--until", 1 if args.until is None else args.until)
    if args.resume is not None:
        file = args.resume / SETTINGS
        if not file.exists():
            raise ValueError(f"{args.resume} holds no run (expected {SETTINGS} in it): give the folder of a run")
        return json.loads(file.read_text(encoding="utf-8")), args.resume
    for name in ("steps", "batch", "block", "width", "heads", "depth", "stories"):
        positive(f"--{name}", getattr(args, name))
    if not (math.isfinite(args.rate) and args.rate > 0):
        raise ValueError(f"--rate must be a positive number, got {args.rate}")
    if args.leaking and args.dynamics != "momentum":
        raise ValueError("--leaking is the force of momentum blocks that sees the future: add --dynamics momentum")
    if args.corpus not in CORPORA:
        raise ValueError(f"--corpus must be one of {', '.join(CORPORA)}, got {args.corpus!r}")
    names = ("corpus", "dynamics", "attention", "steps", "batch", "block", "width", "heads", "depth", "rate", "seed")
    settings = {
        name: getattr(args, name) for name in (*names, "vocabulary", "memory", "stories", "leaking", "allow_leak")
    }
    leaking = "-leaking" if args.leaking else ""
    name = f"{args.corpus}-{args.dynamics}-{args.attention}{leaking}-seed{args.seed}"
    return settings, args.out or Path("runs") / name


def _report(job: Job, fitted: running.Fitted, folder: Path) -> int:
    """What came out, kept in the folder and printed, with a text that the model writes; 1 if steps were refused."""
    state = fitted.state
    step = int(state.step)
    losses = np.asarray(state.losses, np.float64)[:step]
    judged = dict(zip(job.recipe.looks, np.asarray(state.judged, np.float64).tolist(), strict=True))
    with open(folder / CURVE, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("step", "loss", "held_out"))
        writer.writerows((k + 1, float(loss), judged.get(k + 1, "")) for k, loss in enumerate(losses))
    held_out = float(np.mean(training.judge(state.model, job.material.held_out), dtype=np.float64))
    result = {
        "steps": step, "loss": held_out, "floor": job.floor, "rejected": int(state.rejected), "leak": state.leak,
        "parameters": nl.count_parameters(state.model), "seconds": fitted.seconds,
        "step_seconds": fitted.step_seconds, "corpus_sha256": job.corpus.digest, "tokens_sha256": job.tokens.digest,
    }  # fmt: skip
    (folder / RESULT).write_text(json.dumps(result | {"provenance": provenance()}, indent=1), encoding="utf-8")
    sample = _sample(job, state.model)
    (folder / SAMPLE).write_text(sample, encoding="utf-8", errors="replace")
    print(f"held out: {held_out:.4f} nats per token after {step} steps\n\nit writes:\n{sample}\n")
    if step < job.recipe.steps:
        print(f"stopped at step {step} of {job.recipe.steps}; to go on: nqs-lab train-lm --resume {folder}")
    print(f"everything is in {folder}")
    return 0 if int(state.rejected) == 0 else 1


def _sample(job: Job, model: models.LanguageModel) -> str:
    """A text after the prompt of the corpus; U+FFFD for bytes that are no text."""
    prompt = PROMPTS[job.settings["corpus"]]
    key = jax.random.fold_in(jax.random.key(job.settings["seed"]), 2)
    return prompt + language.write_text(model, job.tokens, prompt, WRITTEN, key, temperature=0.8)
