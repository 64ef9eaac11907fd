"""nqs-lab cite."""

import argparse

import nqs_lab

SOFTWARE = """@software{{nqs_lab,
  author  = {{{{The nqs\\_lab developers}}}},
  title   = {{nqs\\_lab: Transformer wave functions, taught against exact answers}},
  version = {{{version}}},
  year    = {{2026}},
  note    = {{Apache-2.0 (code), CC BY 4.0 (text)}}
}}"""

PAPERS = """@article{rende2025queries,
  author  = {Rende, Riccardo and Viteritti, Luciano Loris},
  title   = {Are queries and keys always relevant? {A} case study on {Transformer} wave functions},
  journal = {Machine Learning: Science and Technology},
  volume  = {6},
  pages   = {010501},
  year    = {2025},
  doi     = {10.1088/2632-2153/ada1a0},
  eprint  = {2405.18874},
  archivePrefix = {arXiv}
}

@misc{stein2026sympformer,
  author  = {Stein, Viktor and Li, Wuchen and Steidl, Gabriele},
  title   = {{SympFormer}: Accelerated attention blocks via inertial dynamics on density manifolds},
  year    = {2026},
  eprint  = {2603.16535},
  archivePrefix = {arXiv}
}"""

PLAIN = """The software:
  The nqs_lab developers, nqs_lab {version} (2026).
The papers that it teaches:
  R. Rende and L. L. Viteritti, "Are queries and keys always relevant? A case study on Transformer
  wave functions", Mach. Learn.: Sci. Technol. 6, 010501 (2025), arXiv:2405.18874.
  V. Stein, W. Li and G. Steidl, "SympFormer: Accelerated attention blocks via inertial dynamics on
  density manifolds", arXiv:2603.16535 (2026).
BibTeX entries: nqs-lab cite --bibtex"""


def cite(args: argparse.Namespace) -> int:
    """Print the references, as text or as BibTeX."""
    version = nqs_lab.__version__
    if args.bibtex:
        print(SOFTWARE.format(version=version), PAPERS, sep="\n\n")
    else:
        print(PLAIN.format(version=version))
    return 0
