"""The metrics, on arrays; they rest on `softlab_cli.core` and the kernels only."""
