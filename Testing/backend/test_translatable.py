"""Every text that the Slicer side makes can be translated: it is a literal in _(), filled in afterwards."""

import ast
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "MedSegDiffSlicer"
FILES = sorted([*MODULE.glob("*.py"), *MODULE.glob("*Lib/**/*.py")])
ERRORS = {"RequestError", "JobError", "TimeoutError"}
TEXTS = {"text", "toolTip"}  # attributes of widgets


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def is_bare_text(node: ast.AST) -> bool:
    """A literal with words, or an f-string, that is not in _()."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.Constant) and any(map(str.isalpha, str(part.value))) for part in node.values)
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and any(map(str.isalpha, node.value))


def found(tree: ast.AST):
    """Lines with texts that cannot be translated."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node) == "_":
            if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
                yield node.lineno
        elif isinstance(node, ast.Call) and name_of(node) in ERRORS and node.args and is_bare_text(node.args[0]):
            yield node.lineno
        elif isinstance(node, ast.Assign) and is_bare_text(node.value):
            if any(isinstance(target, ast.Attribute) and target.attr in TEXTS for target in node.targets):
                yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(MODULE)))
def test_texts_can_be_translated(path):
    assert list(found(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line", ['raise RequestError(f"{x} is gone")', '_(f"no {x}")', 'label.text = "Done"', "_(words)"]
)
def test_what_cannot_be_translated_is_found(line):
    assert list(found(ast.parse(line))) == [1]
