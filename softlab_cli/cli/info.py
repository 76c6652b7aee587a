"""``softlab info``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from softlab_cli.cli.options import debug, refuse_idle, store_argument
from softlab_cli.cli.wording import say
from softlab_cli.core.text import shown, shown_message


@click.command("info")
@store_argument
@click.argument("case_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the table of cases as CSV.")
@click.option(
    "--sort", metavar="COLUMN",
    help="Sort the table: case, or the largest of shape, spacing, classes, raters, volume, "
    "entropy, ties, changes or warnings first.",
)  # fmt: skip
@click.option("--sizes", is_flag=True, help="Look at all files, and say how large the store is.")
@click.option(
    "--config", "as_config", is_flag=True, help="Print the configuration that made the store."
)
@click.option("--marginals", is_flag=True, help="How much of each class there is, hard and soft.")
@debug
def command(
    store: Path,
    case_id: str | None,
    as_json: bool,
    as_csv: bool,
    sort: str | None,
    sizes: bool,
    as_config: bool,
    marginals: bool,
) -> None:
    """Say what is in a store, or what is known of CASE_ID.

    First a summary, then a table of the cases. Exits 1 when the metadata of a case cannot be
    read; the others are told of.
    """
    from softlab_cli.api import open_store
    from softlab_cli.report.describe import describe_case, describe_marginals
    from softlab_cli.report.facts import config_toml, marginal_facts, store_facts

    if as_config or as_json or marginals or case_id:
        refuse_idle("as_csv", "sort", "sizes", needs="the table of cases")
    if as_csv:
        refuse_idle("sizes", needs="the summary, which CSV lacks")
    opened = open_store(store)
    if as_config:
        click.echo(config_toml(opened.info.config))
    elif as_json:
        facts = marginal_facts if marginals else store_facts
        click.echo(json.dumps(facts(opened, case_id), indent=1))
    elif marginals:
        say(describe_marginals(opened, case_id))
    elif case_id:
        say(describe_case(opened[case_id]))
    else:
        from softlab_cli.report.overview import csv_of_store, describe_store, gather_overview

        found = gather_overview(opened, sort)
        if as_csv:
            click.echo(csv_of_store(found), nl=False)
        else:
            say(describe_store(found, sizes=sizes))
        for name, error in found.errors.items():
            click.echo(f"error: {shown(name)}: {shown_message(str(error))}", err=True)
        raise SystemExit(1 if found.errors else 0)
