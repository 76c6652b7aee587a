"""The command ``softlab``, also as ``python -m softlab_cli``."""

import atexit
import gc
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until it is handled: Python's own handler prints a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from softlab_cli.core.ending import end_on_signals


def main() -> None:
    """Run the command that the arguments name; Ctrl-C ends it at any moment, imports included."""
    # As it ends, Python looks through the objects of numba for what is no longer used: as
    # long as importing half of them took. What is frozen is left to the system.
    atexit.register(gc.freeze)
    with end_on_signals():
        from softlab_cli.cli.main import cli

        cli(prog_name="softlab")


if __name__ == "__main__":
    main()
