"""The shelf of the comparison's runs; what a shelf is stands in nqs_lab.lab.shelf."""

from pathlib import Path

from nqs_lab.lab import shelf
from nqs_lab.lab.comparison.setting import Setting
from nqs_lab.lab.shelf import FORMAT as FORMAT, Row as Row


class Shelf(shelf.Shelf[Setting]):
    """A folder of finished runs of the comparison. Arguments: `folder`; `command`: how to rebuild it, for the index."""

    def __init__(self, folder: Path, *, command: str):
        super().__init__(folder, command=command, kind=Setting)
