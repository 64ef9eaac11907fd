"""python -m nqs_lab is the same as nqs-lab."""

import sys

from nqs_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
