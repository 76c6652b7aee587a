"""``python -m softlab_cli`` is the command ``softlab``."""

from softlab_cli.cli.main import main

if __name__ == "__main__":
    main()
