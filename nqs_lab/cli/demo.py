"""nqs-lab demo."""

import argparse


def demo(args: argparse.Namespace) -> int:
    """Hand over to the lab, which draws the figure."""
    import nqs_lab
    from nqs_lab.lab.demo import run_demo

    nqs_lab.enable_x64()
    return run_demo(quick=args.quick, out=args.out, seed=args.seed)
