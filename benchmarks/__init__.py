"""Measurements: each script prints a table and ends in one line of JSON."""
