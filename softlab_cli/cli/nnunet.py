"""``softlab nnunet``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
from click.core import ParameterSource

from softlab_cli.cli.arguments import A_PATH
from softlab_cli.cli.geols import ENGINES, geols_options
from softlab_cli.cli.options import debug, progress, smoothing, svls_options, together, verbose
from softlab_cli.cli.soften import describe_run
from softlab_cli.cli.vls import vls_options
from softlab_cli.core.text import printable
from softlab_cli.methods.registry import METHODS
from softlab_cli.running.progress import listeners


class HookMethod(click.Choice[str]):
    """A name of a method that the hook offers, looked up when it is needed."""

    def __init__(self) -> None:
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(name for name, entry in METHODS.items() if entry.in_nnunet)

    @choices.setter
    def choices(self, _: object) -> None:
        """Leave what there is to the registry."""


class SeveralValues(click.Command):
    """A command whose repeatable options take several values, as those of nnU-Net do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its values."""
        options = [p for p in self.params if isinstance(p, click.Option) and p.multiple]
        names = {name for option in options for name in option.opts}
        return super().parse_args(ctx, list(_repeated(args, names)))


def _repeated(args: Sequence[str], names: set[str]) -> Iterator[str]:
    option, first = "", False
    for argument in args:
        if argument.startswith("-"):
            option, first = (argument, True) if argument in names else ("", False)
        elif option and not first:
            yield option
        else:
            first = False
        yield argument


@click.group("nnunet")
def command() -> None:
    """Train nnU-Net v2 with soft labels; nothing of nnU-Net is changed.

    \b
    softlab nnunet preprocess -d 501 -c 3d_fullres --method svls
    export nnUNet_extTrainer=$(softlab nnunet ext-path) SOFTLAB_STORE=svls
    nnUNetv2_train 501 3d_fullres 0 -tr nnUNetTrainerSoftLab
    nnUNetv2_predict -i IN -o OUT -d 501 -c 3d_fullres -f 0 -tr nnUNetTrainerSoftLab
    """


@command.command("preprocess", cls=SeveralValues, short_help="Soft labels of its cases.")
@together(
    click.option("-d", "--dataset", required=True, help="Number or name of the data set."),
    click.option(
        "-c",
        "--configuration",
        "configurations",
        multiple=True,
        required=True,
        help="Configurations that nnU-Net has preprocessed, such as 2d 3d_fullres.",
    ),
    click.option("-p", "--plans", default="nnUNetPlans", show_default=True, help="The plans."),
    click.option(
        "--method",
        type=HookMethod(),
        default="svls",
        show_default=True,
        help="What makes the soft labels.",
    ),
    *svls_options,
    smoothing,
    *geols_options,
    *vls_options,
    click.option(
        "--engine",
        type=click.Choice([*ENGINES, "vls", "crossfit"]),
        help="What computes distances of geols, or the network of vls.  [default: that of the "
        "command of the method]",
    ),
    click.option(
        "--raters",
        multiple=True,
        type=A_PATH,
        help="A folder of label maps for each rater, named as in labelsTr; svls of several raters "
        "is msvls.",
    ),
    click.option("--name", help="Name of the store.  [default: that of the method]"),
    click.option("--overwrite", is_flag=True, help="Remove what the store holds and start again."),
    click.option(
        "--workers",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Processes, one case each.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        help="Threads in each worker.  [default: cores / workers]",
    ),
    verbose,
    progress,
    debug,
)
@click.pass_context
def preprocess_command(
    ctx: click.Context,
    /,
    dataset: str,
    configurations: tuple[str, ...],
    progress: bool | None,
    verbose: bool,
    **options: Any,
) -> None:
    """Soft labels of the cases that nnU-Net has preprocessed, on their own grid.

    Run it after nnUNetv2_plan_and_preprocess, and again whenever that was run again:
    only cases that have changed are computed. 2d configurations are smoothed within
    slices only. The stores lie in nnUNet_preprocessed/DATASET/softlab/.

    The parameters are those of `softlab svls`, `ls`, `geols` and `vls`; a parameter that
    the method does not have is refused.
    """
    from softlab_cli.nnunet.preprocess import preprocess

    # What was not given is the method's own default, if it has such a parameter at all.
    given = {
        name: value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    shown = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=shown, verbose=verbose) as listen:
        reports = preprocess(dataset, configurations, listen=listen, **given)
    for store, report in reports.items():
        click.echo(printable("\n".join(describe_run(report, store))))
    raise SystemExit(1 if any(report.failed for report in reports.values()) else 0)


@command.command("ext-path", short_help="Print the folder with nnUNetTrainerSoftLab.")
@debug
def ext_path_command() -> None:
    """Print the folder with nnUNetTrainerSoftLab, for the variable nnUNet_extTrainer."""
    from softlab_cli.nnunet.paths import ext_folder

    click.echo(ext_folder())
