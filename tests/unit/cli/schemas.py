"""Holding `--json` output to the published schemas."""

import json
from importlib import resources

import jsonschema


def validate(value: object, schema: str) -> None:
    """Hold a value to a published schema."""
    text = resources.files("wardgate.cli").joinpath("schemas", f"{schema}.json").read_text()
    checker = jsonschema.Draft202012Validator
    checker(json.loads(text), format_checker=checker.FORMAT_CHECKER).validate(value)
