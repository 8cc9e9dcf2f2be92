"""The design as a test: imports point one way, and what runs after the masks needs no torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "segclf"

MAY_IMPORT = {
    "core": "",
    "io": "core",
    "manifest": "core io",
    "importers": "core io manifest",
    "phantom": "core io",
    "data": "core io manifest",
    "networks": "core",
    "losses": "core",
    "training": "core data",
    "segment": "core manifest data networks losses training",
    "classify": "core manifest data networks losses training segment",
    "predict": "core io data networks training segment",
    "summarize": "core io",
    "summarize/trained": "core io manifest data networks losses training segment predict summarize",
    "pseudolabel": "core io manifest data networks losses training segment predict experiment "
    "other pipeline stages",
    "pseudolabel/semi": "core data losses manifest networks pseudolabel segment training",
    "export": "core io manifest predict console experiment other stages",
    "evaluate": "core",
    "report": "core",
}
INSIDE = {"summarize": "trained"}
"""A package inside another that may import more, but for its front, `__init__` and `table`."""
TORCH_FREE = ("core", "io", "manifest", "importers", "phantom", "summarize", "evaluate", "report")
MAX_LINES = 300


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of the code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)} uses a relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def stage_files(stage: str) -> list[Path]:
    inner = PACKAGE / stage / INSIDE[stage] if stage in INSIDE else None
    files = sorted((PACKAGE / stage).rglob("*.py"))
    return [f for f in files if f.parent != inner or f.name in ("__init__.py", "table.py")]


def test_every_package_is_in_the_table():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - {"cli", "study"} == {stage for stage in MAY_IMPORT if "/" not in stage}


@pytest.mark.parametrize("stage", MAY_IMPORT)
def test_a_stage_imports_only_earlier_stages(stage):
    allowed = {*MAY_IMPORT[stage].split(), stage, "__version__"}
    files = stage_files(stage)
    assert files
    for path in files:
        ours = {name.split(".")[1] for name in imported(path) if name.startswith("segclf.")}
        assert ours <= allowed, f"{path.relative_to(ROOT)} imports {sorted(ours - allowed)}"


@pytest.mark.parametrize("stage", TORCH_FREE)
def test_importing_a_torch_free_stage_loads_no_torch(stage):
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in stage_files(stage)
    ]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "loaded = {'torch', 'monai', 'segmentation_models_pytorch'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_command_line_starts_without_heavy_packages():
    code = (
        "import sys, segclf.__main__\n"
        "loaded = {'torch', 'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_no_module_is_longer_than_the_limit():
    lengths = {path: path.read_text().count("\n") for path in PACKAGE.rglob("*.py")}
    long = {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > MAX_LINES}
    assert not long


@pytest.mark.parametrize(
    ("forbidden", "why"),
    [
        (
            r"\b(pickle|dill|joblib|cloudpickle|shelve)\.(load|loads|Unpickler)\b",
            "unpickling runs code",
        ),
        (r"^\s*(import|from) (dill|joblib|cloudpickle|shelve)\b", "unpickling runs code"),
        (r"(?<![\w.])(eval|exec)\(", "running text runs code"),
        (r"allow_pickle=True", "unpickling runs code"),
        (r"torch\.load\((?!.*weights_only=True)", "weights_only=True has to be written out"),
        (r"yaml\.(unsafe_)?load\((?!text, Loader=_StrictLoader)", "only the strict loader reads"),
        (r"\.extractall\(", "archives can escape their folder"),
        (r"shell=True", "a shell reads names as commands"),
    ],
)
def test_nothing_in_the_package_runs_code_from_data(forbidden, why):
    for path in PACKAGE.rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            assert not re.search(forbidden, line), f"{path.name}:{number}: {why}"
