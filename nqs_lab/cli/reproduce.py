"""nqs-lab reproduce: a shipped result once more, held against the shipped numbers."""

import argparse

import nqs_lab
from nqs_lab.lab.shipped import result, shipped_results


def reproduce(args: argparse.Namespace) -> int:
    """List the shipped results, or rebuild one and compare; 0 if it agrees, 1 if not."""
    if args.name is None:
        show_list()
        return 0
    nqs_lab.enable_x64()
    shipped = result(args.name)
    args.out.mkdir(parents=True, exist_ok=True)
    whole = "" if args.only else f" (about {shipped.minutes:g} minutes on two cores)"
    print(f"rebuilding {shipped.name}: {shipped.what}{whole}", flush=True)
    shipped.rebuild(args.out, args.only)
    report = shipped.compare(args.out)
    print(f"{report}\nstated error: {shipped.error}; the rebuilt copy is in {args.out}")
    return 0 if report.agrees else 1


def show_list() -> None:
    """One line for each shipped result."""
    print("minutes  result, and what it holds")
    for shipped in shipped_results().values():
        print(f"{shipped.minutes:7g}  {shipped.name}: {shipped.what}")
