"""``python -m tests.parity``: compare with the authors' repositories that are given.

Where each was checked out is told by an environment variable: SVLS_REPO, GEOLS_REPO,
SEGLOSSBIAS_REPO, JDT_REPO. Exits 1 when something lies farther apart than it may.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .checkout import CannotRun, Checkout
from .figures import Row, table

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
"""What the tables stand between in the document that has them."""


@dataclass(frozen=True)
class Repository:
    """One that softlab is compared with.

    Parameters
    ----------
    name
        Owner and name.
    commit
        The one whose behaviour softlab follows.
    module
        What compares, in this package.
    """

    name: str
    commit: str
    module: str


REPOSITORIES = {
    "SVLS_REPO": Repository("mobarakol/SVLS", "77d1fd2", "svls"),
    "GEOLS_REPO": Repository("adigasu/GeoLS", "9d82622", "geols"),
    "SEGLOSSBIAS_REPO": Repository("by-liu/SegLossBias", "81fb0a4", "marginals"),
    "JDT_REPO": Repository("zifuwanggg/JDTLosses", "68ce8ac", "jdt"),
}
"""Environment variable to the repository whose checkout it names."""


def main() -> int:
    """Run what can be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the tables into FILE, where its marks are"
    )
    args = parser.parse_args()
    sections, is_good = [], True
    for variable, repository in REPOSITORIES.items():
        heading = f"### {repository.name} {repository.commit}"
        try:
            text, rows = section(variable, repository, os.environ)
        except CannotRun as error:
            text, rows = f"Not run: {error}.", []
            is_good &= not os.environ.get(variable)
        sections.append(f"{heading}\n\n{text}")
        print(f"{sections[-1]}\n", flush=True)
        is_good &= all(row.is_good for row in rows)
    if args.write:
        put(args.write, "\n\n".join(sections))
    return 0 if is_good else 1


def section(
    variable: str, repository: Repository, environment: Mapping[str, str]
) -> tuple[str, list[Row]]:
    """The comparisons with one repository, and their table.

    Raises
    ------
    CannotRun
        Without a checkout, or without what it needs.
    """
    path = environment.get(variable)
    if not path:
        raise CannotRun(f"{variable}= was not given")
    checkout = Checkout(Path(path).resolve())
    commit = checkout.commit
    compare = importlib.import_module(f"{__package__}.{repository.module}").compare
    rows = list(compare(checkout))
    if commit == repository.commit:
        return table(rows), rows
    return f"This was {commit}.\n\n{table(rows)}", rows


def put(path: Path, tables: str) -> None:
    """Replace what stands between the marks of a document."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{path} has no place for the tables: {BEGIN} and {END}.")
    path.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
