"""A model larger than memory -> text."""
