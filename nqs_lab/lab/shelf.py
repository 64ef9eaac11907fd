"""Where finished runs are kept: one readable index of numbers, and one compressed file of arrays for each run."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import numpy as np

from nqs_lab.store import provenance

FORMAT = "nqs_lab-runs-1"


@runtime_checkable
class AnySetting(Protocol):
    """What a shelf asks of a setting: a frozen dataclass of plain values with these two."""

    @property
    def name(self) -> str:
        """A name for files."""
        ...

    @property
    def seed(self) -> int:
        """What runs are sorted by."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, from which the class can be built again."""
        ...


S = TypeVar("S", bound=AnySetting)


class Outcome(NamedTuple):
    """A finished run: plain numbers, arrays, and the trained model itself."""

    numbers: dict[str, Any]
    arrays: dict[str, np.ndarray]
    model: eqx.Module


@dataclass(frozen=True)
class Row(Generic[S]):
    """One finished run: its setting, its numbers and where they come from."""

    setting: S
    numbers: dict[str, Any]
    provenance: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.numbers:
            raise KeyError(f"{name!r} is not recorded; choose from {', '.join(self.numbers)}.")
        return self.numbers[name]


class Shelf(Generic[S]):
    """A folder of runs: `index.json`, written anew and atomically after every run, and `<name>.npz` beside it.

    Arguments: `folder`; `command`: how to rebuild it, for the index; `kind`: the class of its settings, or what makes
    one.
    Raises ValueError for an index that cannot be read, is of another format, or holds settings of another kind.
    """

    def __init__(self, folder: Path, *, command: str, kind: Callable[..., S]):
        self.folder, self.command, self.kind = folder, command, kind
        self.rows: list[Row[S]] = []
        self._index = folder / "index.json"
        if self._index.exists():
            self._read()

    def _read(self) -> None:
        """The rows on disk."""
        try:
            content = json.loads(self._index.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self._index.name} is damaged ({error}); restore it, or run {self.command}") from error
        found = content.get("format") if isinstance(content, dict) else None
        if found != FORMAT:
            raise ValueError(f"expected an index of format {FORMAT}, got {found}; run {self.command}")
        try:
            for entry in content["runs"]:
                origin = content["provenance"][entry["origin"]] | {"date": entry["date"]}
                self.rows.append(Row(self.kind(**entry["setting"]), entry["numbers"], origin))
        except (KeyError, IndexError, TypeError) as error:
            kind = getattr(self.kind, "__module__", "this kind")
            raise ValueError(
                f"expected runs with the settings of {kind}, got others ({error}): give the folder of "
                f"this kind of runs, or run {self.command}"
            ) from error

    def find(self, setting: S) -> Row[S] | None:
        """The finished run of a setting, or None."""
        return next((row for row in self.rows if row.setting == setting), None)

    def select(self, **wanted: Any) -> list[Row[S]]:
        """The runs whose settings have these values, by seed: select(attention="t5", j2=0.5, sign="neel")."""
        rows = [row for row in self.rows if all(_same(getattr(row.setting, k), v) for k, v in wanted.items())]
        return sorted(rows, key=lambda row: row.setting.seed)

    def arrays(self, row: Row[S]) -> dict[str, np.ndarray]:
        """The arrays of a run; nothing in the file is executed. Raises ValueError for a damaged file."""
        path = self.folder / f"{row.setting.name}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
            raise ValueError(
                f"{path.name} is damaged or foreign ({error}); restore it, or run {self.command}"
            ) from error

    def add(self, setting: S, outcome: Outcome, *, arrays: Sequence[str] | None = None) -> Row[S]:
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
        # A run of that name but with other settings has just lost its arrays: it goes, too.
        stale = [r for r in self.rows if r.setting == setting or (kept and r.setting.name == setting.name)]
        self.rows = [r for r in self.rows if r not in stale] + [row]
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
