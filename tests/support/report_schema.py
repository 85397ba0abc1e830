"""Holds a report against the schema that is published in the package."""

from __future__ import annotations

from typing import Any

import jsonschema

from pytest_ocap.report.json import schema


def validate(report: dict[str, Any]) -> None:
    """Insist that a report is of the published form."""
    kind = jsonschema.Draft202012Validator
    kind.check_schema(schema())
    jsonschema.validate(report, schema(), kind, format_checker=kind.FORMAT_CHECKER)
