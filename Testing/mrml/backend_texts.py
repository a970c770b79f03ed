"""Lists the backend's messages for Slicer's translators: to be run after one was changed."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "MedSegDiffSlicer"
LIST = MODULE / "MedSegDiffSlicerLib" / "view" / "backend_texts.py"
NOT_IN_SLICER = {"cli", "evaluation", "training"}  # rooms whose messages nobody sees there
WORDS = re.compile(r"[A-Za-z]{2,}[,;:)]* +(\{\d+\} +)*\(?[A-Za-z]{2,}")
NO_TEXT = re.compile(r"\\[ws(]|\w\|\w|\(\?|import runpy|^https?://|^Library/")  # patterns, code and paths
HEAD = '''"""What the backend says, its parts left open; written by Testing/mrml/backend_texts.py, for translators alone."""


def _(text: str) -> str:  # marks a text for Slicer's translation tools, as slicer.i18n.tr does
    return text


TEXTS = (
'''


def template(node: ast.Constant | ast.JoinedStr) -> str:
    """A literal's text; what an f-string fills in is {0}, {1}, ..."""
    if isinstance(node, ast.Constant):
        return node.value.replace("{", "{{").replace("}", "}}")
    numbers = iter(range(len(node.values)))
    return "".join(
        template(part) if isinstance(part, ast.Constant) else f"{{{next(numbers)}}}" for part in node.values
    )


def literals(tree: ast.AST):
    """All texts of a module but its docstrings; f-strings as a whole."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            yield node
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    yield from literals(part.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield from literals(node)


def texts() -> list[str]:
    """What the backend may tell in Slicer, in alphabetical order."""
    package = MODULE / "medsegdiff"
    found = set()
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] not in NOT_IN_SLICER:
            found.update(map(template, literals(ast.parse(path.read_text(encoding="utf-8")))))
    return sorted(text for text in found if WORDS.search(text) and not NO_TEXT.search(text))


def entry(text: str) -> str:
    """A line of the list, or several where it is long."""
    lines = textwrap.wrap(text, 100, drop_whitespace=False, break_long_words=False, break_on_hyphens=False)
    quoted = ['"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"' for line in lines]
    if len(quoted) == 1:
        return f"    _({quoted[0]}),\n"
    return "    _(\n" + "".join(f"        {line}\n" for line in quoted) + "    ),\n"


if __name__ == "__main__":
    LIST.write_text(HEAD + "".join(map(entry, texts())) + ")\n", encoding="utf-8")
