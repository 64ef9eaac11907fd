"""The arguments of nqs-lab, and how its errors are told. What a command needs is imported when it runs."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import nqs_lab

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


class _Parser(argparse.ArgumentParser):
    """argparse with help texts that keep their line breaks, and errors of one line."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """One line with advice, exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (help: {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 a check failed, 2 wrong input, 130 stopped by Ctrl-C."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    module, function = args.run.split(":")
    try:
        return getattr(import_module(f"nqs_lab.cli.{module}"), function)(args)
    except (ValueError, OSError, MemoryError) as error:
        print(f"nqs-lab {args.command}: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nnqs-lab {args.command}: stopped.", file=sys.stderr)
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = _Parser(
        prog="nqs-lab",
        description="Transformer wave functions for frustrated magnets, taught against exact answers.",
        epilog="Start with `nqs-lab doctor`, then `nqs-lab demo`, then `nqs-lab lab`.\n"
        "Each command has its own help and an example: nqs-lab train --help",
    )
    parser.add_argument("--version", action="version", version=f"nqs-lab {nqs_lab.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Parser)
    for add in (_doctor, _demo, _train, _train_lm, _lab, _notebooks, _reproduce, _cite):
        add(commands)
    return parser


def _command(commands, name: str, run: str, short: str, description: str, example: str) -> argparse.ArgumentParser:
    """One subcommand with its texts."""
    command = commands.add_parser(name, help=short, description=description, epilog=f"example:\n  {example}")
    command.set_defaults(run=run)
    return command


def _doctor(commands) -> None:
    """nqs-lab doctor."""
    _command(
        commands, "doctor", "doctor:doctor", "check this installation",
        "Print versions and devices, then solve a small magnet exactly and with variational\n"
        "Monte Carlo and compare the two (about ten seconds). Exit code 0 if all is well, 1 if not.",
        "nqs-lab doctor",
    )  # fmt: skip


def _demo(commands) -> None:
    """nqs-lab demo."""
    command = _command(
        commands, "demo", "demo:demo", "attention with and without queries and keys, against the exact answer",
        "Solve the J1-J2 model on the 4x4 torus exactly at J2 = 0.5, then train Transformers that differ\n"
        "only in their attention, and compare: a table on the screen and a figure in the output folder.\n"
        "Under four minutes on two cores.",
        "nqs-lab demo --quick",
    )  # fmt: skip
    command.add_argument("--quick", action="store_true", help="fewer steps, under a minute; the errors are then larger")
    command.add_argument("--out", type=Path, default=Path("demo_output"), metavar="DIR", help="default: demo_output")
    command.add_argument("--seed", type=int, default=0, help="of the initial weights (default: 0)")


def _train(commands) -> None:
    """nqs-lab train."""
    command = _command(
        commands, "train", "train:train", "train a Transformer wave function on a lattice of your choice",
        "Train a Vision Transformer for the ground state of the J1-J2 Heisenberg model. The progress bar shows\n"
        "the energy per site (in units of J1) and, where it is known, the distance to the exact one.\n"
        "Checkpoints are written as it goes: after Ctrl-C or a power cut, --resume goes on where it stopped.",
        "nqs-lab train 4x4 --j2 0.5 --attention factored --steps 150\n"
        "  nqs-lab train 6x6 --samples 1024 --steps 300 --out runs/six\n"
        "  nqs-lab train --resume runs/six",
    )  # fmt: skip
    add = command.add_argument
    add("lattice", nargs="?", default="4x4", help="4x4, 4x6, ... (a torus) or 16 (a ring of 16 sites); default: 4x4")
    add("--j2", type=float, default=0.5, help="coupling of second neighbours, in units of J1 (default: 0.5)")
    add("--attention", default="factored", help="t5, decoupled, factored, dot-product or linear (default: factored)")
    add("--patch", type=int, default=None, help="side of a patch of sites (default: 1 up to 16 sites, else 2)")
    add("--width", type=int, default=32, help="numbers per token (default: 32)")
    add("--heads", type=int, default=4, help="attention heads; must divide the width (default: 4)")
    add("--depth", type=int, default=2, help="layers (default: 2)")
    add("--steps", type=int, default=None, help="optimisation steps, 150 if not given; with --resume a new total")
    add("--samples", type=int, default=None, metavar="N", help="Monte Carlo chains (default: 1024 above 16 sites)")
    add(
        "--full-sum",
        action="store_true",
        help="sum over all configurations instead of sampling (default up to 16 sites)",
    )
    add("--rate", type=float, default=None, help="highest learning rate (default: 0.1)")
    add("--no-marshall", action="store_true", help="without the Marshall sign rule: the network must find the signs")
    add("--seed", type=int, default=0, help="of weights and samples (default: 0)")
    add("--every", type=int, default=20, metavar="N", help="steps between checkpoints (default: 20)")
    add("--out", type=Path, default=None, metavar="DIR", help="folder of the run (default: runs/ and the settings)")
    add("--resume", type=Path, default=None, metavar="DIR", help="go on with the run in this folder, with its settings")


def _train_lm(commands) -> None:
    """nqs-lab train-lm."""
    command = _command(
        commands, "train-lm", "train_lm:train_lm", "train a small language model with attention of your choice",
        "Train a small causal language model whose tokens move by residual blocks (GPT), by Nesterov's accelerated\n"
        "step or by a damped Hamiltonian flow, on text that needs no network: a generated story grammar, or the\n"
        "docstrings of the installed scientific packages. Before training it is tested that the model does not see\n"
        "the tokens that it is to predict. Afterwards it writes. Ctrl-C keeps what is done; --resume goes on.",
        "nqs-lab train-lm --dynamics nesterov --attention dot-product --corpus grammar --rate 3e-3\n"
        "  nqs-lab train-lm --dynamics momentum --attention linear --corpus docstrings --vocabulary 1024\n"
        "  nqs-lab train-lm --dynamics momentum --leaking --allow-leak --corpus grammar\n"
        "  nqs-lab train-lm --resume runs/grammar-nesterov-dot-product-seed0",
    )  # fmt: skip
    add = command.add_argument
    add("--dynamics", default="residual", help="residual (GPT), nesterov or momentum (default: residual)")
    add("--attention", default="dot-product", help="dot-product, linear, t5, decoupled or factored; momentum needs one "
        "that has an energy, so not decoupled (default: dot-product)")  # fmt: skip
    add("--corpus", default="grammar", help="grammar, docstrings or tinystories (from the network; default: grammar)")
    add(
        "--memory",
        type=float,
        default=0.9,
        help="of the grammar: how surely a thing stays with its owner, 0 to 1 (0.9)",
    )
    add("--stories", type=int, default=20_000, help="of the grammar: stories to learn from (default: 20000)")
    add("--vocabulary", type=int, default=512, help="pieces of words, 257 to 1024, or 256 for bytes (default: 512)")
    add("--block", type=int, default=128, help="tokens that the model reads at once (default: 128)")
    add("--width", type=int, default=64, help="numbers per token (default: 64)")
    add("--heads", type=int, default=4, help="attention heads; must divide the width (default: 4)")
    add("--depth", type=int, default=4, help="blocks, one above the other (default: 4)")
    add("--steps", type=int, default=1000, help="steps of AdamW, which the learning rate's decay spans (default: 1000)")
    add("--batch", type=int, default=18, help="pieces of text in a step; the paper takes 72 (default: 18)")
    add("--rate", type=float, default=1e-3, help="largest learning rate; the paper takes 3e-4 (default: 1e-3)")
    add("--seed", type=int, default=0, help="of weights and batches (default: 0)")
    add("--leaking", action="store_true", help="momentum with the force that sees the future, as a witness")
    add("--allow-leak", action="store_true", help="train a model even if the causality probe finds a leak")
    add("--until", type=int, default=None, metavar="N", help="stop after step N; --resume goes on from there")
    add("--out", type=Path, default=None, metavar="DIR", help="folder of the run (default: runs/ and the settings)")
    add("--resume", type=Path, default=None, metavar="DIR", help="go on with the run in this folder, with its settings")


def _lab(commands) -> None:
    """nqs-lab lab."""
    command = _command(
        commands, "lab", "notebooks:lab", "open JupyterLab on the index of the lessons",
        "Start JupyterLab on the index of the lessons. It serves this computer only (127.0.0.1) and asks for\n"
        "the token that is part of the address it prints. Without a browser, open that address yourself.\n"
        "From an installed package the lessons are first copied to ./nqs_lab_notebooks (nothing is overwritten).",
        "nqs-lab lab --no-browser",
    )  # fmt: skip
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    command.add_argument("--port", type=int, default=8888, help="the next free one is taken (default: 8888)")


def _notebooks(commands) -> None:
    """nqs-lab notebooks."""
    command = _command(
        commands, "notebooks", "notebooks:notebooks", "list the lessons, or copy them to a folder of yours",
        "List the lessons, or copy them to a folder of yours, to change and to keep.",
        "nqs-lab notebooks --copy my_lessons",
    )  # fmt: skip
    command.add_argument("--copy", type=Path, default=None, metavar="DIR", help="copy the lessons to this folder")
    command.add_argument("--force", action="store_true", help="overwrite lessons that are already there")


def _reproduce(commands) -> None:
    """nqs-lab reproduce."""
    command = _command(
        commands, "reproduce", "reproduce:reproduce", "rebuild a shipped result and compare it",
        "The lessons show some results that take longer than a reader should wait. Rebuild one of them in a folder\n"
        "of yours and see whether it agrees with the shipped copy, within the stated error. Without a name: the list,\n"
        "with the minutes each takes on two cores. Of a result that consists of runs, Ctrl-C keeps the finished ones.\n"
        "Exit code 0 if it agrees, 1 if not.",
        "nqs-lab reproduce j2-scan\n"
        "  nqs-lab reproduce comparison-grid --only factored j2_0.5 seed11",
    )  # fmt: skip
    command.add_argument("name", nargs="?", default=None, help="the result, as the list names it")
    command.add_argument("--only", nargs="+", default=[], metavar="WORD", help="runs whose names hold all these words")
    command.add_argument("--out", type=Path, default=Path("reproduced"), metavar="DIR", help="default: reproduced")


def _cite(commands) -> None:
    """nqs-lab cite."""
    command = _command(
        commands, "cite", "cite:cite", "how to cite this software and the papers behind it",
        "How to cite this software and the two papers that it teaches.",
        "nqs-lab cite --bibtex > nqs_lab.bib",
    )  # fmt: skip
    command.add_argument("--bibtex", action="store_true", help="as BibTeX entries")


def _one_line(error: BaseException) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
