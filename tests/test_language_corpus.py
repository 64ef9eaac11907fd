"""Documents and their splits: the digest, docstrings of planted and of real packages, TinyStories without a network."""

import ast
import importlib
import importlib.util
import os
import socket
import subprocess
import sys
import types

import numpy as np
import pytest

from nqs_lab.language import Bytes, Corpus, docstrings, fixed_blocks, tiny, tinystories
from nqs_lab.language.harvest import PARAGRAPH, paragraphs, read_docstrings, source_files

LONG = "This paragraph is much longer than sixty characters, so that it is known again wherever it stands."


# --- a corpus


def test_the_digest_is_that_of_the_texts_their_order_and_their_split():
    same = [Corpus("a", ("ab", "c"), ("d",), "here"), Corpus("b", ("ab", "c"), ("d",), "there", gap=" ")]
    assert same[0].digest == same[1].digest and len(same[0].digest) == 64
    others = [(("a", "bc"), ("d",)), (("c", "ab"), ("d",)), (("ab",), ("c", "d")), (("ab", "c"), ("e",))]
    digests = {Corpus("a", *splits, "here").digest for splits in others}
    assert len(digests | {same[0].digest}) == 5


def test_a_corpus_tells_its_sizes_and_its_digest_and_not_its_text():
    corpus = Corpus("small", ("é" * 500_000,), ("b" * 20_000, "c" * 20_000), "nowhere")
    told = repr(corpus)
    assert "1.00 MB in 1 documents" in told and "0.04 MB in 2 documents" in told and corpus.digest in told
    assert len(told) < 300 and str(corpus) == told
    assert corpus.held_out_text == "b" * 20_000 + "\n\n\n" + "c" * 20_000 + "\n\n\n"


def test_a_document_in_both_splits_is_refused():
    with pytest.raises(ValueError, match="without a common document, got 1"):
        Corpus("leak", ("a", "b"), ("c", "b"), "here")
    for splits in (((), ("a",)), (("a",), ())):
        with pytest.raises(ValueError, match="documents in both splits"):
            Corpus("empty", *splits, "here")


# --- docstrings of planted packages


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """A function that writes a package (file name -> bytes or text) where Python finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(package, files):
        for name, content in {"__init__.py": "", **files}.items():
            path = tmp_path / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        importlib.invalidate_caches()
        docstrings.cache_clear()

    return write


def test_docstrings_are_found_wherever_python_has_them(plant):
    source = '''
"""Module."""
class A:
    """Class.

        An example, further in.
    And on.
    """
    def f(self):
        """Method."""
        def inner():
            "inner"
        return lambda: "no docstring"
if True:
    def g(): "in an if"
else:
    async def h(): "in an else"
try:
    def i(): "in a try"
except ValueError:
    def j(): "in an except"
finally:
    def k(): "in a finally"
for x in y:
    while z:
        with w:
            def l(): "deep"
match x:
    case 1:
        def m(): "in a case"
def n():
    f"no {docstring}"
def o():
    x = 1
    "too late"
def p(): "  "
'''
    assert read_docstrings(source.encode()) == [
        *("Module.", "Class.\n\n    An example, further in.\nAnd on.", "Method.", "inner", "in an if", "in an else"),
        *("in a try", "in an except", "in a finally", "deep", "in a case"),
    ]


def test_files_come_in_the_order_of_their_paths_and_no_package_is_imported(plant):
    bomb = "raise SystemExit('imported')"
    names = ["z.py", "b/__init__.py", "b/a.py", "a.py", "B.py", "tests/t.py", "b/testing/t.py", "data.txt"]
    plant("planted_one", {name: f'"""{name}"""\n{bomb}' for name in names} | {"__init__.py": bomb})
    plant("planted_two", {"a.py": '"""judged"""'})
    corpus = docstrings(("planted_one",), ("planted_two",))
    assert corpus.train == ("B.py", "a.py", "b/__init__.py", "b/a.py", "z.py") and corpus.held_out == ("judged",)
    assert "planted_one" not in sys.modules
    docstrings.cache_clear()
    assert docstrings(("planted_one",), ("planted_two",)).digest == corpus.digest


def test_unreadable_files_are_skipped_and_counted(plant):
    broken = {
        "undecodable.py": b'"""caf\xe9"""',
        "nulls.py": b'"""a"""\x00',
        "syntax.py": '"""a"""\ndef (',
        "python2.py": '"""a"""\nprint "hello"',
        "unknown_code.py": b'# -*- coding: klingon -*-\n"""a"""',
        "deep.py": '"""a"""\nx = ' + "(" * 5000 + ")" * 5000,
    }
    good = {
        "latin.py": b'# -*- coding: latin-1 -*-\n"""caf\xe9"""',
        "escape.py": '"""a\\d and \\ud800"""',
        "empty.py": "",
    }
    plant("planted_three", broken | good)
    plant("planted_four", {"a.py": '"""judged"""'})
    corpus = docstrings(("planted_three",), ("planted_four",))
    assert corpus.train == ("a\\d and \ud800", "café")
    assert f"({len(broken)} files skipped)" in corpus.source
    assert len(corpus.digest) == 64  # half a surrogate pair does not stop it


def test_nothing_held_out_was_read_before(plant):
    plant("planted_five", {"a.py": f'"""One.\n\n{LONG}"""\ndef f(): "Twice."\ndef g(): "Twice."\ndef h(): "Short."'})
    other = LONG.replace("much", "not much")
    copies = f'"""Two.\n\n   {LONG}"""\ndef f(): "Short."\ndef g():\n    """Three.\n\n    {other}"""\ndef h(): "New."'
    plant("planted_six", {"a.py": copies})
    corpus = docstrings(("planted_five",), ("planted_six",))
    assert corpus.train == (f"One.\n\n{LONG}", "Twice.", "Short.")
    assert corpus.held_out == (f"Three.\n\n{other}", "New.")


def test_what_cannot_be_harvested_is_told(plant):
    plant("planted_seven", {"a.py": '"""a"""'})
    plant("planted_eight", {"a.py": "x = 1"})
    with pytest.raises(ValueError, match="no_such_package is not installed.*pip install"):
        docstrings(("planted_seven",), ("no_such_package",))
    with pytest.raises(ValueError, match="planted_seven in both"):
        docstrings(("planted_seven",), ("planted_seven",))
    with pytest.raises(ValueError, match="documents in both splits"):
        docstrings(("planted_seven",), ("planted_eight",))
    with pytest.raises(ValueError, match="expected Python files"):
        source_files("itertools")
    with pytest.raises(ValueError, match="top-level package"):
        source_files("os.path")
    assert [file.name for file in source_files("bisect")] == ["bisect.py"]


# --- docstrings of the packages that every reader has


@pytest.fixture(scope="module")
def real():
    return docstrings()


def test_the_docstrings_of_the_scientific_packages(real):
    sizes = [len(text.encode("utf-8", "surrogatepass")) / 1e6 for text in (real.train_text, real.held_out_text)]
    assert 5 < sizes[0] < 40 and 0.3 < sizes[1] < 4
    for package in ("numpy", "scipy", "jax", "matplotlib", "optax", "IPython"):
        version = importlib.import_module(package).__version__
        assert f"{package} {version}" in real.source
    assert len(set(real.train)) == len(real.train) and len(set(real.held_out)) == len(real.held_out)
    assert "Return evenly spaced numbers over a specified interval." in real.train_text
    assert docstrings() is real


def test_no_stretch_of_held_out_text_was_read_before(real):
    """Lines and blocks, which the filter does not know: it goes by paragraphs."""
    split = [set().union(*map(paragraphs, documents)) for documents in (real.train, real.held_out)]
    assert len(split[1]) > 1000 and not split[0] & split[1]
    lines = [[x.strip() for x in text.splitlines()] for text in (real.train_text, real.held_out_text)]
    known, judged = set(lines[0]), [line for line in lines[1] if len(line) >= PARAGRAPH]
    assert len(judged) > 1000 and sum(line in known for line in judged) < 0.01 * len(judged)
    blocks = fixed_blocks(Bytes().encode(real.held_out_text), 128, 40).inputs
    texts = [Bytes().decode(block).strip("\N{REPLACEMENT CHARACTER}") for block in blocks]
    assert not any(text in real.train_text for text in texts)
    assert all(text in real.held_out_text for text in texts)


def test_the_walk_over_statements_misses_no_docstring():
    """Against a walk over every node of every third tree of one package."""
    count = 0
    for file in source_files("optax")[::3]:
        tree = ast.parse(file.read_bytes())
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        nodes = sorted((n for n in ast.walk(tree) if isinstance(n, kinds)), key=lambda n: getattr(n, "lineno", 0))
        texts = [ast.get_docstring(node) for node in nodes]
        found = read_docstrings(file.read_bytes())
        assert found == [text.strip() for text in texts if text]
        count += len(found)
    assert count > 150


SMALL = """
import jax, numpy as np
from nqs_lab.language import *
text = docstrings(("IPython",), ("jaxtyping",))
tales = stories(StoryGrammar(0.7), train=300, held_out=20, seed=4)
pieces = learn_pieces(tales.train_text + text.held_out_text, 500)
batch = batch_at(pieces.encode(tales.train_text), 32, 4, jax.random.key(3), 17)
told = [text.digest, tales.digest, pieces.digest, batch.inputs.tolist(), batch.targets[:, -1].tolist()]
"""


def test_everything_is_the_same_in_another_process():
    """With other hashes; and the docstrings of IPython are read there without importing it."""
    code = SMALL + "import sys; print([*told, 'IPython' in sys.modules])"
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    here = {}
    docstrings.cache_clear()
    exec(SMALL, here)
    assert there.stdout.strip() == str([*here["told"], False])


# --- TinyStories


ROWS = {
    "train": [{"text": t} for t in ("One day. ", "", "Two cats’ day.", "One day.", "Three.", "Four.", "Five.")],
    "validation": [{"text": t} for t in ("Six.", "Three.", "\n", "Seven.", "Eight.")],
}


@pytest.fixture
def network(monkeypatch):
    """The package datasets replaced by one that serves ROWS; what it was asked for."""
    asked = []

    def load_dataset(address, *, split, streaming):
        asked.append((address, split, streaming))
        return iter(ROWS[split])

    package = types.ModuleType("datasets")
    package.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", package)
    monkeypatch.setattr(tiny, "_knock", lambda: None)
    return asked


def test_the_first_different_stories_of_each_split(network):
    corpus = tinystories(4, 3)
    assert corpus.train == ("One day.", "Two cats’ day.", "Three.", "Four.")
    assert corpus.held_out == ("Six.", "Seven.", "Eight.")
    assert network == [("roneneldan/TinyStories", "train", True), ("roneneldan/TinyStories", "validation", True)]


def test_a_cache_makes_the_network_superfluous(network, monkeypatch, tmp_path):
    file = tmp_path / "tiny.nqs"
    first = tinystories(4, 2, cache=file)
    monkeypatch.setitem(sys.modules, "datasets", None)
    again = tinystories(4, 2, cache=file)
    assert len(network) == 2 and again == first and again.digest == tinystories(4, 2, cache=file).digest
    with pytest.raises(ValueError, match="needs the package datasets"):
        tinystories(3, 2, cache=file)  # other stories


def test_without_package_or_network_one_sentence_says_what_to_do(network, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("status 503")

    monkeypatch.setattr(sys.modules["datasets"], "load_dataset", broken)
    with pytest.raises(ValueError, match=r"RuntimeError: status 503.*docstrings\(\)") as told:
        tinystories()
    assert told.value.__suppress_context__
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'nqs-lab\[language\]'"):
        tinystories()
    with pytest.raises(ValueError, match="at least one story"):
        tinystories(0)


def test_the_host_is_asked_before_the_library_tries_for_long(network, monkeypatch):
    monkeypatch.undo()  # the real knock, and a library that must not be reached
    monkeypatch.setitem(sys.modules, "datasets", types.ModuleType("datasets"))

    def unreachable(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tiny.urllib.request, "getproxies", dict)
    monkeypatch.setattr(tiny.socket, "create_connection", unreachable)
    with pytest.raises(ValueError, match="could not be read.*Name or service.*Connect to the network"):
        tinystories()
    monkeypatch.setenv("HF_ENDPOINT", "https://a.mirror")
    with pytest.raises(ValueError, match="AttributeError"):  # not asked: the library is
        tinystories()


def test_stories_survive_as_bytes():
    texts = ("a", "", "’" * 3, "\ud800", "zwei Zeilen\nhier")
    packed = tiny._pack((texts, texts[::-1]))
    assert tiny._unpack(packed["train"]) == texts and tiny._unpack(packed["validation"]) == texts[::-1]
    assert packed["train"]["bytes"].dtype == np.uint8
