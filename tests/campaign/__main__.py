"""``python -m tests.campaign NAME [OPTIONS]``; without a name, the campaigns that there are."""

from __future__ import annotations

import importlib
import sys

CAMPAIGNS = {
    "damages": "tests.campaign.damages",
    "kills": "tests.campaign.kills",
    "mutations": "tests.campaign.mutations",
    "neighbours": "tests.campaign.neighbours",
    "places": "tests.campaign.places",
}
"""Name to the module that has its `main`, which takes arguments and returns an exit status."""


def main(arguments: list[str]) -> int:
    """Run a campaign."""
    if arguments and arguments[0] in CAMPAIGNS:
        status: int = importlib.import_module(CAMPAIGNS[arguments[0]]).main(arguments[1:])
        return status
    for name, module in CAMPAIGNS.items():
        summary = (importlib.import_module(module).__doc__ or "").splitlines()[0]
        print(f"{name:<12}{summary}")
    return 2 if arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
