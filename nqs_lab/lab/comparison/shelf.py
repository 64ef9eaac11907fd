"""Where finished runs are kept: one readable index of numbers, and one compressed file of arrays for each run."""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nqs_lab.lab.comparison.setting import Setting
from nqs_lab.lab.comparison.training import Outcome
from nqs_lab.store import provenance

FORMAT = "nqs_lab-runs-1"


@dataclass(frozen=True)
class Row:
    """One finished run: its setting, its numbers (see `training.train`) and where they come from."""

    setting: Setting
    numbers: dict[str, Any]
    provenance: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.numbers:
            raise KeyError(f"{name!r} is not recorded; choose from {', '.join(self.numbers)}.")
        return self.numbers[name]


class Shelf:
    """A folder of runs: `index.json`, written anew and atomically after every run, and `<name>.npz` beside it.

    Arguments: `folder`; `command`: how to rebuild it, for the index.
    Raises ValueError for an index of another format.
    """

    def __init__(self, folder: Path, *, command: str):
        self.folder, self.command = folder, command
        self.rows: list[Row] = []
        self._index = folder / "index.json"
        if self._index.exists():
            self._read()

    def _read(self) -> None:
        """The rows on disk."""
        content = json.loads(self._index.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise ValueError(f"expected an index of format {FORMAT}, got {content.get('format')}; run {self.command}")
        for entry in content["runs"]:
            origin = content["provenance"][entry["origin"]] | {"date": entry["date"]}
            self.rows.append(Row(Setting(**entry["setting"]), entry["numbers"], origin))

    def find(self, setting: Setting) -> Row | None:
        """The finished run of a setting, or None."""
        return next((row for row in self.rows if row.setting == setting), None)

    def select(self, **wanted: Any) -> list[Row]:
        """The runs whose settings have these values, by seed: select(attention="t5", j2=0.5, sign="neel")."""
        rows = [row for row in self.rows if all(_same(getattr(row.setting, k), v) for k, v in wanted.items())]
        return sorted(rows, key=lambda row: row.setting.seed)

    def arrays(self, row: Row) -> dict[str, np.ndarray]:
        """The arrays of a run; nothing in the file is executed."""
        with np.load(self.folder / f"{row.setting.name}.npz", allow_pickle=False) as file:
            return dict(file)

    def add(self, setting: Setting, outcome: Outcome, *, arrays: Sequence[str] | None = None) -> Row:
        """Keep a finished run: arrays first, then the index, so that what the index names is there.

        `arrays`: the names of those to keep, all if not given; none writes no file.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {name: outcome.arrays[name] for name in (outcome.arrays if arrays is None else arrays)}
        if kept:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **kept)
            _replace(self.folder / f"{setting.name}.npz", buffer.getvalue())
        row = Row(setting, outcome.numbers, provenance())
        self.rows = [r for r in self.rows if r.setting != setting] + [row]
        self._write()
        return row

    def _write(self) -> None:
        """The index: one run a line, the origins that several runs share written once."""
        origins, lines = [], []
        for row in self.rows:
            origin = {k: v for k, v in row.provenance.items() if k != "date"}
            if origin not in origins:
                origins.append(origin)
            lines.append(
                {
                    "setting": row.setting.as_dict(),
                    "numbers": row.numbers,
                    "date": row.provenance["date"],
                    "origin": origins.index(origin),
                }
            )
        head = json.dumps({"format": FORMAT, "command": self.command, "provenance": origins}, indent=1)[:-2]
        body = ",\n".join("  " + json.dumps(line) for line in lines)
        _replace(self._index, f'{head},\n "runs": [\n{body}\n ]\n}}\n'.encode())


def _same(value: Any, wanted: Any) -> bool:
    """Equal, couplings up to rounding."""
    return abs(value - wanted) < 1e-9 if isinstance(value, float) else value == wanted


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is the old one or the new one, never half of it."""
    partial = path.with_name(f".{path.name}.partial")
    with open(partial, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)
