"""Every command that the pages below show exists, with every option shown."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from master.cli.main import app
from master.domain.licenses import move_problems

ROOT = Path(__file__).parents[2]
TREE = typer.main.get_command(app)


def commands(text: str) -> list[str]:
    """What is typed in the blocks of a text, and named in its sentences."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    typed = re.findall(r"^(?:\w*\$ +)?license-master (.+?)(?: {2,}.*)?$", "".join(blocks), re.MULTILINE)
    named = re.findall(r"`license-master ([^`]+)`", text)
    return [*typed, *named]


def command_of(words: list[str]) -> str:
    """The command that words begin with: "license bind"."""
    command, names = TREE, []
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words[0]]
        names.append(words[0])
        words = words[1:]
    return " ".join(names)


PAGES = ("operations", "monitoring", "backup", "agreements", "fairness")


@pytest.mark.parametrize("page", [*(f"docs/{name}.md" for name in PAGES), "README.md"])
def test_shown_commands_exist(page: str) -> None:
    shown = commands((ROOT / page).read_text(encoding="utf-8"))
    assert shown
    for line in shown:
        words = shlex.split(line.replace("...", ""), comments=True)
        command, names = TREE, []
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{page} shows license-master {line}"
            command = command.commands[words[0]]
            names.append(words.pop(0))
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word for word in words if word.startswith("--")} - {"--help"}
        assert used <= known, f"{page} shows license-master {line}"


def test_every_task_says_when_and_what_goes_wrong() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    titles = [section.splitlines()[0] for section in sections]
    linked = re.findall(r"\[([^\]]+)\]\(#", text)
    assert set(titles) == set(linked)
    for section in sections:
        said = re.findall(r"^\*\*(When|When it goes wrong):\*\*", section, re.MULTILINE)
        assert said == ["When", "When it goes wrong"], section.splitlines()[0]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_blocks_are_closed_where_they_end(page: Path) -> None:
    """Else all below is shown, and looked at here, as what it is not."""
    blocks = re.findall(r"^```.*?\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert page.read_text(encoding="utf-8").count("\n```") == 2 * len(blocks)
    assert not [title for block in blocks for title in re.findall(r"^#+ .+ \S+\n\n", block, re.MULTILINE)]


def test_refused_moves_are_shown_in_the_words_of_today() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    wordings = [value for value in vars(move_problems).values() if isinstance(value, move_problems.Wording)]
    titles = "|".join(problem.name.lower().replace("_", " ") for problem in move_problems.MoveProblem)
    shown = re.findall(rf"^● refused  \S+: (?:{titles}) .*\n  (.+)$", text, re.MULTILINE)
    assert len(shown) >= 7
    for message in shown:
        patterns = [re.sub(r"\\{.+?\\}", ".*", re.escape(wording.message)) for wording in wordings]
        assert any(re.fullmatch(pattern, message) for pattern in patterns), message
