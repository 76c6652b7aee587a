"""The group of all commands; a command's module is imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from softlab_cli.core.errors import SoftlabError, UsageError
from softlab_cli.core.text import printable
from softlab_cli.methods.registry import METHODS
from softlab_cli.version import __version__

__all__ = ["cli"]

DEBUG = "softlab_cli.debug"
"""Key under which the context keeps whether ``--debug`` was given."""

MAKE = "Make soft labels"

SECTIONS: dict[str, dict[str, str]] = {
    "Look at your data": {
        "inspect": "What files and folders are: grid, labels, series, problems.",
    },
    MAKE: {
        "run": "Any of these, from a configuration file.",
    },
    "Choose": {
        "tune": "Which soft label, and how soft, by how well it predicts a rater left out.",
    },
    "Judge predictions": {
        "evaluate": "How good and how well calibrated, against one rater or several.",
        "calibrate": "What makes a network's probabilities hold, from validation cases.",
    },
    "Train with it": {
        "nnunet": "In nnU-Net v2: soft labels of its preprocessed cases, and a trainer.",
    },
    "Look at a store": {
        "info": "What is in it.",
        "verify": "Whether it is sound; exits 1 on any defect.",
        "report": "One page with all cases, worst first, to open in a browser.",
        "preview": "A picture of one slice of a case.",
        "export": "Write cases as NIfTI, npz or DICOM SEG.",
    },
}
"""Commands by section with their short help, so that ``--help`` imports none of them.

The methods' come first in theirs; `softlab_cli.methods.METHODS` has them.
"""


def sections() -> dict[str, dict[str, str]]:
    """All commands by section, the methods' among them, with their short help."""
    methods = {name: entry.summary for name, entry in METHODS.items()}
    return SECTIONS | {MAKE: methods | SECTIONS[MAKE]}


def home_of(name: str) -> tuple[str, str]:
    """Module of a command, and its name there."""
    own = METHODS[name].command if name in METHODS else ""
    module, _, attribute = (own or f"softlab_cli.cli.{name}:command").partition(":")
    return module, attribute


class CommandError(click.ClickException):
    """A `SoftlabError` as the command line shows it."""

    def show(self, file: Any = None) -> None:
        """Print the message on standard error."""
        click.echo(printable(f"error: {self.format_message()}"), err=True)


class CommandUsageError(CommandError):
    """The same, for arguments."""

    exit_code = 2


class LazyGroup(click.Group):
    """A group whose commands stay in their modules until they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the sections."""
        return [name for section in sections().values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, attribute = home_of(cmd_name)
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        for title, commands in sections().items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors on purpose become one line unless ``--debug`` is given."""
        try:
            return super().invoke(ctx)
        except SoftlabError as error:
            if ctx.meta.get(DEBUG):
                raise
            kind = CommandUsageError if isinstance(error, UsageError) else CommandError
            raise kind(str(error)) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # a full disk, say, whoever was writing
            if ctx.meta.get(DEBUG):
                raise
            from softlab_cli.core.failures import unforeseen

            raise CommandError(unforeseen(error)) from error


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: softlab svls --in labels/ --out soft.zarr",
)
@click.version_option(__version__, prog_name="softlab")
def cli() -> None:
    """Soft labels for medical image segmentation, from label maps to a Zarr store."""
