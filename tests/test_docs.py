"""README and docs name commands, options, files and links that exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from segclf.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands_in(text):
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, flags=re.S)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(segclf [a-z][^`]*)`", text)
    return [line for line in [*lines, *inline] if re.match(r"segclf [a-z-]+", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_on_a_page_exists_with_its_options(page):
    known = get_command(app).commands
    for line in commands_in(page.read_text()):
        words = shlex.split(line)
        assert words[1] in known or words[1].isupper(), line
        options = {opt for p in getattr(known.get(words[1]), "params", ()) for opt in p.opts}
        used = {word for word in words[2:] if word.startswith("--")} - {"--help", "--debug"}
        assert used <= options, f"{line}: {sorted(used - options)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_local_link_on_a_page_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_names_the_commands_that_the_makefile_has():
    makefile = (ROOT / "Makefile").read_text()
    for name in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), flags=re.M):
        assert re.search(rf"^{name}:", makefile, flags=re.M)


def test_ci_runs_the_readmes_test_command():
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


def test_every_pinned_version_is_exact():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[^=<>~*]+", x) for x in lines if x[0] != "#")
