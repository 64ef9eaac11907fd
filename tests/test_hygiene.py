"""What a tired eye misses: paths of one machine, long files, open ends, unknown references (and see test_notebooks)."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("nqs_lab", "notebooks", "tests", "book", "benchmarks", "requirements", ".ci")
TEXT = {".py", ".md", ".ipynb", ".toml", ".yml", ".yaml", ".cff", ".bib", ".txt", ".json", ".csv", ".cfg", ""}
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
CODE = sorted((ROOT / "nqs_lab").rglob("*.py")) + [ROOT / "start.py"]
# Written in pieces, so that this file does not find itself.
MACHINE = re.compile(
    "|".join(["/wo" + "rk/", "/tm" + "p/", "/ro" + "ot/", "/ho" + "me/[a-z]", r"[A-Z]:\\\\" + "Users"])
)
DOWNLOAD = re.compile("--(?:extra-)?ind" + "ex-url|--find" + "-links|file:/" + "//")
OPEN_END = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|raise NotImpl" + "ementedError")
KEY = re.compile(r"\b(?:[a-z]{3,}(?:18|19|20)\d\d[a-z]*|netket3)\b")


def files():
    """All text files of the project, none of what tools leave behind."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    hidden = {"__pycache__", ".ipynb_checkpoints", "_build"}
    return sorted(path for path in found if path.suffix in TEXT and not hidden & set(path.parts))


def cells(file, kind):
    """The sources of a notebook's cells of one kind."""
    notebook = json.loads(file.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_files_are_found():
    names = {path.relative_to(ROOT).as_posix() for path in files()}
    assert {
        "pyproject.toml",
        "start.py",
        ".ci/run",
        "nqs_lab/store/files.py",
        "LICENSE",
        "book/references.bib",
    } <= names
    assert len(NOTEBOOKS) >= 3 and len(CODE) > 30


@pytest.mark.parametrize("pattern", [MACHINE, DOWNLOAD, OPEN_END], ids=["machine", "download", "open"])
def test_nothing_of_one_machine_and_no_open_ends(pattern):
    found = []
    for file in files() if pattern is not OPEN_END else [*CODE, *NOTEBOOKS]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            found += [f"{file.relative_to(ROOT)}:{number}: {hit}" for hit in pattern.findall(line)]
    assert found == []


def test_the_patterns_find_what_they_should():
    for text in ("see /wo" + "rk/x", "/tm" + "p/a.npz", "/ho" + "me/ana", "C:" + r"\\" + "Users"):
        assert MACHINE.search(text)
    assert DOWNLOAD.search("--ind" + "ex-url x") and OPEN_END.search("# TO" + "DO: later")
    assert KEY.findall("see becca2017, goldshlager2024spring and netket3; not v2017 or 2017") == [
        "becca2017",
        "goldshlager2024spring",
        "netket3",
    ]


def test_a_file_is_read_in_one_sitting():
    lengths = {str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines()) for f in CODE}
    assert {name: n for name, n in lengths.items() if n > 320} == {}
    long = {}
    for file in CODE:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 45:
                long[f"{file.relative_to(ROOT)}:{node.name}"] = node.end_lineno - node.lineno + 1
    assert long == {}


def test_every_function_says_what_it_does():
    """Public functions and classes have a docstring of at most 25 lines."""
    faults = []
    for file in CODE:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                text = ast.get_docstring(node)
                if text is None or len(text.splitlines()) > 25:
                    faults.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert faults == []


def test_cited_keys_are_in_the_bibliography():
    known = set(re.findall(r"@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8")))
    used = {}
    for file in CODE:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                for key in KEY.findall(ast.get_docstring(node) or ""):
                    used.setdefault(key, file.name)
    for file in NOTEBOOKS:
        for key in KEY.findall("\n".join(cells(file, "markdown"))):
            used.setdefault(key, file.name)
    assert len(used) > 8
    assert {key: where for key, where in used.items() if key not in known} == {}


def test_the_bibliography_holds_nothing_that_is_not_cited():
    """A reader who finds an entry can find what it is the source of."""
    entries = re.findall(r"^@\w+\{([^,]+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.M)
    assert len(set(entries)) == len(entries) > 20, "a key stands twice"
    places = [file for file in files() if file.suffix in (".py", ".md", ".ipynb") and "tests" not in file.parts]
    text = "\n".join(file.read_text(encoding="utf-8") for file in places)
    assert [key for key in entries if not re.search(rf"\b{key}\b", text)] == []
