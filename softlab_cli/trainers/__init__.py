"""Training from a store: data sets, losses, and adapters for MONAI and TorchIO."""
