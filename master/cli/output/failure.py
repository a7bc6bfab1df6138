"""What a command raises when it cannot do what it was asked; `main` prints it and exits with 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from master.cli.output.file_remedies import file_remedy

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class CommandFailed(Exception):
    """A failure with what to do about it. `lines` carry the particulars, one each."""

    def __init__(self, message: str, *, lines: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.lines = tuple(lines)
        self.remedy = remedy

    def in_file(self, file: str) -> CommandFailed:
        """Return the same failure with the name of the file that it is about."""
        message = self.message if file in self.message else f"{file}: {self.message}"
        failure = CommandFailed(message, lines=self.lines, remedy=self.remedy)
        failure.__cause__ = self.__cause__
        return failure

    def parts(self) -> list[RenderableType]:
        """Return the parts of a failure to print, in order."""
        from rich.text import Text  # slow to load; every command imports this module

        from master.cli.output.rendering import visible

        parts: list[RenderableType] = [Text.assemble(("error: ", "bold red"), visible(self.message))]
        parts += [visible(f"  {line}") for line in self.lines]
        if remedy := self._helps():
            parts.append(Text.assemble(("try: ", "bold yellow"), visible(remedy)))
        return parts

    def json_object(self) -> Mapping[str, object]:
        """Return the failure for programs; `details` and `remedy` may be empty."""
        return {"message": self.message, "details": list(self.lines), "remedy": self._helps()}

    def _helps(self) -> str:
        """Return the remedy or, where none was given, what helps against the failed use of a file that caused this."""
        return self.remedy or file_remedy(self)


def print_failure(failure: CommandFailed, console: Console) -> None:
    """Print a failure; FILE:LINE stays in one piece however narrow the terminal is."""
    for part in failure.parts():
        console.print(part, soft_wrap=True)
