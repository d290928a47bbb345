"""Shared fixtures. Neighbours are declared in `tests/neighbours.py`."""
