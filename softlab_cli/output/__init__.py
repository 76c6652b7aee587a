"""What reads a store and makes files."""
