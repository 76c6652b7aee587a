"""``softlab run``: any command that makes soft labels, with its options from a file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from softlab_cli.cli.arguments import A_PATH
from softlab_cli.cli.main import cli
from softlab_cli.cli.options import debug
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.system import unreadable
from softlab_cli.methods.registry import METHODS


@click.command("run")
@click.argument("config", type=A_PATH)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS]")
@debug
@click.pass_context
def command(ctx: click.Context, config: Path, options: tuple[str, ...]) -> None:
    """Run the command that CONFIG names, with the options that it gives.

    \b
    CONFIG is TOML, with the names of the command line:
        command = "svls"
        in = ["labels"]
        out = "soft.zarr"
        sigma-mm = 1.5
    `softlab info STORE --config` prints the file that made a store. Options
    after `--` are added, and win: softlab run CONFIG.toml -- --overwrite
    """
    content = read_config(config)
    name, *arguments = arguments_of(content, config)
    chosen = cli.get_command(ctx, name)
    assert chosen is not None  # it is one of METHODS
    _check_options(content, chosen, config)
    with chosen.make_context(name, [*arguments, *options], parent=ctx.parent) as inner:
        chosen.invoke(inner)


def read_config(path: Path) -> dict[str, Any]:
    """The content of a configuration file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(error, path) from error
    except (ValueError, RecursionError) as error:
        problem = f"is not TOML ({error})."
        raise InputError(problem, remedy="Correct the file there.", path=path) from error


def arguments_of(config: Mapping[str, Any], path: Path) -> list[str]:
    """The command line that a configuration stands for; `path` is named in errors."""
    options = dict(config)
    name = options.pop("command", None)
    if name not in METHODS:
        problem = "names no command" if name is None else f"names the command {name!r}"
        raise UsageError(
            f"{problem}; there are {', '.join(METHODS)}.",
            remedy='Write for instance command = "svls".',
            path=path,
        )
    arguments = [str(name)]
    for option, value in options.items():
        arguments.extend(_one_option(_as_typed(option), value))
    return arguments


def _as_typed(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _check_options(config: Mapping[str, Any], chosen: click.Command, path: Path) -> None:
    """Raise `UsageError` for an option that the command does not have."""
    known = {text for parameter in chosen.params for text in parameter.opts}
    known |= {text for parameter in chosen.params for text in parameter.secondary_opts}
    for option in config.keys() - {"command"}:
        if _as_typed(option) not in known:
            raise UsageError(
                f"{chosen.name} has no option {option!r}.",
                remedy=f"`softlab {chosen.name} --help` lists them.",
                path=path,
            )


def _one_option(option: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        if value:
            yield option
    elif isinstance(value, list) and option in PER_AXIS:
        yield from (option, ",".join(map(str, value)))
    elif isinstance(value, list):
        for entry in value:
            yield from (option, str(entry))
    else:
        yield from (option, str(value))


PER_AXIS = {"--sigma-voxels", "--sigma-mm"}
"""Options whose list is one value for each axis, not several values."""
