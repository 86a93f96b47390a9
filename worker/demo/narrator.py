"""Output of the demo: colours and progress on a terminal, else plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from worker.demo.verify import Verdict

EXAMPLES = 5
_INDENT = (0, 0, 0, 3)


class Narrator:
    """Output of each step as one sentence, then its effects."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps = 0

    def title(self, text: str) -> None:
        """Print the title."""
        self._print(Text(text, style="bold"))

    def step(self, sentence: str) -> None:
        """Print the next step."""
        self._steps += 1
        numbered = Table.grid(padding=(0, 1))
        numbered.add_row(Text(f"{self._steps}.", style="bold cyan"), Text(sentence, style="bold"))
        self._console.print()
        self._print(numbered)

    def effect(self, sentence: str, style: str = "green") -> None:
        """Print an effect of the step."""
        self._print(Padding(Text(sentence, style=style), _INDENT, expand=False))

    def table(self, table: Table) -> None:
        """Print effects of the step as a table."""
        self._console.print()
        self._print(Padding(table, _INDENT, expand=False))
        self._console.print()

    @contextmanager
    def waiting(self, sentence: str) -> Iterator[None]:
        """Show a status line on a terminal while waiting."""
        with self._console.status(sentence):
            yield

    @contextmanager
    def progress(self, sentence: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a progress bar on a terminal while waiting; yields `update(completed)`."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        with bar:
            task = bar.add_task(sentence, total=total)
            yield lambda completed: bar.update(task, completed=completed)

    def verdict(self, verdict: Verdict) -> None:
        """Print the findings and the result."""
        self._count("Lost", verdict.lost)
        self._count("Repeated", verdict.repeated)
        if verdict.wrong:
            self._count("Wrong", verdict.wrong)
        self._console.print()
        if verdict.is_well:
            self._print(Text("Nothing was lost, and nothing was repeated.", style="bold green"))
        else:
            self._print(Text("Verification failed: something was lost, repeated or wrong.", style="bold red"))

    def _count(self, what: str, found: Sequence[str]) -> None:
        self.effect(f"{what}: {len(found)}", "bold red" if found else "bold green")
        for sentence in found[:EXAMPLES]:
            self.effect(f"   {sentence}", "red")

    def _print(self, what: RenderableType) -> None:
        self._console.print(what, soft_wrap=False, highlight=False)
