"""``softlab info``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from softlab_cli.cli.options import debug, store_argument
from softlab_cli.cli.wording import say


@click.command("info")
@store_argument
@click.argument("case_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@click.option(
    "--config", "as_config", is_flag=True, help="Print the configuration that made the store."
)
@click.option("--marginals", is_flag=True, help="How much of each class there is, hard and soft.")
@debug
def command(
    store: Path, case_id: str | None, as_json: bool, as_config: bool, marginals: bool
) -> None:
    """Say what is in a store, or what is known of CASE_ID."""
    from softlab_cli.api import open_store
    from softlab_cli.report.describe import describe_case, describe_marginals, describe_store
    from softlab_cli.report.facts import config_toml, marginal_facts, store_facts

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
        say(describe_store(opened))
