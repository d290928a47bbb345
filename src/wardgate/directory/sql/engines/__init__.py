"""The databases, one module each, behind `engine.py`."""
