"""Pictures of a case: what is shown of a slice, apart from who draws it."""
