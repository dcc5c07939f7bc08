"""Commands to copy, each with its purpose as a comment of the shell."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from cli.output import Output

__all__ = ["show_steps"]

_INDENT = "  "


def show_steps(steps: Sequence[tuple[str, str]], output: Output) -> None:
    """Show commands and what they do; a terminal that is too narrow has the comments above.

    Commands are never cut or broken into lines, so that they can be copied.
    """
    width = max(len(command) for command, _ in steps)
    lines = [
        (f"{_INDENT}{command.ljust(width)}", f"{_INDENT}# {purpose}") for command, purpose in steps
    ]
    if max(len(command) + len(comment) for command, comment in lines) <= output.console.width:
        for command, comment in lines:
            output.show(Text.assemble((command, "cyan"), (comment, "dim")))
        return
    for command, comment in lines:
        output.show(Text(comment, "dim"))
        output.show_unwrapped(Text(command.rstrip(), "cyan"))
