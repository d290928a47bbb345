"""`wardgate completion`."""

import sys
from typing import Annotated, Literal

import typer
import typer.completion

from wardgate.cli.options import example, single

app = single()


@app.command(epilog=example("wardgate completion bash > ~/.local/share/bash-completion/completions/wardgate"))
def completion(shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the completion script of a shell."""
    # Not exported in name, but it is what --show-completion prints; a test holds it to that.
    script = typer.completion.get_completion_script(  # type: ignore[attr-defined]
        prog_name="wardgate", complete_var="_WARDGATE_COMPLETE", shell=shell
    )
    sys.stdout.write(script + "\n")
