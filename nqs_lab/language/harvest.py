"""Real text that is on every reader's disk: the docstrings of installed packages, read without importing any."""

import ast
import contextlib
import functools
import gc
import importlib.metadata
import importlib.util
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from nqs_lab.language.corpus import Corpus, distinct

TRAIN = ("jax", "matplotlib", "numpy", "scipy")
HELD_OUT = ("IPython", "optax")
PARAGRAPH = 60
"""Characters from which on a paragraph that stands in both splits is no accident."""
_TESTS = {"test", "tests", "testing"}
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_HOLDERS = {
    *(ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.For, ast.AsyncFor, ast.While, ast.With),
    *(ast.AsyncWith, ast.Try, ast.TryStar, ast.ExceptHandler, ast.Match, ast.match_case),
}
"""Everything that a statement can stand in."""


@functools.cache
def docstrings(train: tuple[str, ...] = TRAIN, held_out: tuple[str, ...] = HELD_OUT) -> Corpus:
    """The docstrings of installed packages, split by package: nobody is judged on text of a package that was read.

    Files are taken in the order of their paths, docstrings in the order of their lines, their common indentation
    removed; each text is kept once. A held-out docstring is dropped if one of its paragraphs of `PARAGRAPH` characters
    or more stands in the training split. Folders of tests are left out, for distributors strip them. Files are parsed
    with `ast` and never imported; what cannot be decoded or parsed is skipped and counted in the source, and text that
    a package attaches at run time (that of NumPy's compiled functions) is not seen.

    Arguments: names of importable packages; they need not be importable without error, only found.

    **Raises** ValueError if a package is not installed, stands in both splits, or if a split has no docstring.
    """
    if twice := sorted(set(train) & set(held_out)):
        raise ValueError(f"expected a package in one split only, got {', '.join(twice)} in both: remove it from one")
    seen, told, skipped = {}, [], 0
    for package in (*train, *held_out):
        files = source_files(package)
        seen[package], bad = _read(files)
        skipped += bad
        told.append(f"{package} {_version(package)}")
    learnt = distinct(text for package in train for text in seen[package])
    known = set(learnt).union(paragraph for text in learnt for paragraph in paragraphs(text))
    judged = distinct(text for package in held_out for text in seen[package])
    fresh = tuple(text for text in judged if text not in known and not known.intersection(paragraphs(text)))
    source = f"the docstrings of {', '.join(told[: len(train)])}; held out {', '.join(told[len(train) :])}"
    return Corpus("docstrings", learnt, fresh, f"{source} ({skipped} files skipped)")


def source_files(package: str) -> list[Path]:
    """The Python files of an installed package without its tests, sorted by path; nothing is imported.

    **Raises** ValueError for a package that is not installed, or that has no files (a zip, a compiled module).
    """
    if not package.isidentifier():
        raise ValueError(f"expected the name of a top-level package, such as numpy, got {package!r}")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ValueError(
            f"the package {package} is not installed, and its docstrings are part of the corpus: `pip install "
            f"{package.lower()}` (IPython comes with `pip install 'nqs-lab[lab]'`), or name other packages in "
            "docstrings(train, held_out), which makes another corpus with another digest"
        )
    places = spec.submodule_search_locations
    if places is None:
        files = [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []
        files = [file for file in files if file.is_file()]
    else:
        found = [(file.relative_to(place), file) for place in map(Path, places) for file in place.rglob("*.py")]
        kept = [(short.as_posix(), file) for short, file in found if not _TESTS & set(short.parts[:-1])]
        files = [file for _, file in sorted(kept)]
    if not files:
        raise ValueError(f"expected Python files in the package {package}, found none: name another package")
    return files


def read_docstrings(source: bytes) -> list[str]:
    """The docstrings of one file, in the order of their lines, without indentation and blank ends; none is empty.

    **Raises** SyntaxError or ValueError for bytes that are no Python, RecursionError for absurdly nested ones.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in other people's strings is not our reader's business
        tree = ast.parse(source)
    texts = (ast.get_docstring(node) for node in _definitions(tree))
    return [text.strip() for text in texts if text and text.strip()]


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text that are long enough to be recognised, each line without the blanks around it."""
    blocks = ("\n".join(line.strip() for line in block.splitlines()) for block in re.split(r"\n\s*\n", text))
    return [block for block in blocks if len(block) >= PARAGRAPH]


def _definitions(tree: ast.Module) -> Iterator[_Documented]:
    """The file and every class and function in it, by line. Only statements are walked: expressions hold none."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _Documented):
            yield node
        parts = [getattr(node, name, ()) for name in ("body", "handlers", "orelse", "finalbody", "cases")]
        waiting.extend(reversed([child for part in parts for child in part if type(child) in _HOLDERS]))


def _read(files: Sequence[Path]) -> tuple[list[str], int]:
    """All docstrings of some files, and how many files could not be read."""
    texts, bad = [], 0
    with _uncollected():
        for file in files:
            try:
                texts += read_docstrings(file.read_bytes())
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                bad += 1
    return texts, bad


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles meanwhile: syntax trees have none, and the search took half of the time beside JAX."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _version(package: str) -> str:
    """The installed version, for the reader who finds another digest."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"
