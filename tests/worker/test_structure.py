"""Limits on functions and modules, their coupling, and the names of tests. The linter limits nesting (PLR1702)."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "worker")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

MAX_FUNCTION_LINES = 40
MAX_IMPORTED_MODULES = 15
MAX_MEDIAN_LINES = 150
MAX_TEST_NAME = 59
COMPOSITION_ROOT = "worker/bootstrap.py"


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def long_functions(path: Path) -> dict[str, int]:
    functions = [node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lines = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    return {name: count for name, count in lines.items() if count > MAX_FUNCTION_LINES}


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def imported_modules(path: Path) -> set[str]:
    """Return the modules of this repository that a module imports, also inside functions."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if is_module(name) else node.module for name in names)
    return {name for name in found if name.partition(".")[0] in PACKAGES}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_functions_have_at_most_40_lines() -> None:
    assert {named(path): found for path in MODULES if (found := long_functions(path))} == {}


def test_modules_import_at_most_15_others() -> None:
    imported = {named(path): imported_modules(path) for path in MODULES}
    above = {name: sorted(found) for name, found in imported.items() if len(found) > MAX_IMPORTED_MODULES}
    assert above.keys() <= {COMPOSITION_ROOT}, above


def test_median_module_of_a_package_has_at_most_150_lines() -> None:
    """A package of `worker` counts with the packages inside it."""
    lines: defaultdict[str, list[int]] = defaultdict(list)
    for path in MODULES:
        lines["/".join(path.relative_to(ROOT).parent.parts[:2])].append(len(path.read_text().splitlines()))
    assert {package: median(each) for package, each in lines.items() if median(each) > MAX_MEDIAN_LINES} == {}


def test_names_of_tests_have_fewer_than_60_characters() -> None:
    modules = (ROOT / "tests").rglob("test_*.py")
    names = [
        name for path in modules for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    ]
    assert names
    assert [name for name in names if len(name) > MAX_TEST_NAME] == []
