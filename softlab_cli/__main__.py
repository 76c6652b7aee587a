"""The command ``softlab``, also as ``python -m softlab_cli``."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until it is handled: Python's own handler prints a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from softlab_cli.core.ending import end_on_signals


def main() -> None:
    """Run the command that the arguments name; Ctrl-C ends it at any moment, imports included."""
    with end_on_signals():
        from softlab_cli.cli.main import cli

        cli(prog_name="softlab")


if __name__ == "__main__":
    main()
