"""``ocap daemon exec`` and ``queueMessage``: the daemon's protocol at the shell. Both start the daemon if need be.

What they print is JSON in every case, so that a script can read it: the plain value of an answer where it has one,
else its CapData.
"""

from __future__ import annotations

import json
import os

from kernel.cli.output import say_json
from kernel.cli.session import call, started_if_needed
from kernel.errors import CapDataError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any


def execute(args: Namespace) -> int:
    """Carry out ``ocap daemon exec``."""
    params = resolve_bundle_specs(args.method, parse_params(args.params), os.getcwd())
    started_if_needed(args)
    say_json(call(args, args.method, params, waiting=f"waiting for {args.method}", timeout=args.timeout))
    return 0


def queue_message(args: Namespace) -> int:
    """Carry out ``ocap daemon queueMessage``."""
    arguments = [parse_argument(text) for text in args.args]
    started_if_needed(args)
    answer = call(
        args,
        "queueMessage",
        [args.kref, args.method, arguments],
        waiting=f"waiting for {args.kref} to answer {args.method}",
        timeout=args.timeout,
    )
    plain = None if args.json else plain_value(answer)
    say_json(answer if plain is None else plain[0])
    return 0


def parse_params(text: str | None) -> Any:
    """Read the parameters of a method.

    Raises:
        UsageError: They are no JSON array or object.
    """
    if text is None:
        return []
    try:
        params = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"JSON-PARAMS is not JSON: {error}", remedy="""Quote it for the shell, as in '{"id": "v1"}'."""
        ) from error
    if not isinstance(params, list | dict):
        raise UsageError(
            f"JSON-PARAMS must be a JSON array or object, not {text[:80]}",
            remedy="Put a single value into an array: [...].",
        )
    return params


def parse_argument(text: str) -> Any:
    """Give an argument's value: what it is as JSON, or else the text itself."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, allow_nan=False)  # 1e999 reads as infinity, which the wire cannot carry
    except (ValueError, RecursionError):
        return text
    return value


def plain_value(answer: Any) -> tuple[Any] | None:
    """Give the value of CapData when JSON can carry it as it is, in a tuple of one; else None."""
    from kernel.capdata import CapData, decode

    try:
        data = CapData.from_json(answer)
        if data.slots:
            return None
        value = decode(data)
    except CapDataError:
        return None
    return (value,) if _is_plain(value) else None


def resolve_bundle_specs(method: str, params: Any, directory: str) -> Any:
    """Give the parameters with the paths of bundles made absolute, relative to ``directory``.

    What is not of the expected form is left for the daemon to refuse.
    """
    from kernel.config import absolute_bundle_spec

    def resolved(spec: Any) -> Any:
        return absolute_bundle_spec(spec, directory) if isinstance(spec, str) and spec else spec

    if method == "launchSubcluster":
        for vat in _members(_member(_member(params, "config"), "vats")):
            if isinstance(vat, dict) and "bundleSpec" in vat:
                vat["bundleSpec"] = resolved(vat["bundleSpec"])
    elif method == "repairSubcluster":
        bundles = _member(params, "bundles")
        if isinstance(bundles, dict):
            bundles.update({vat: resolved(spec) for vat, spec in bundles.items()})
    return params


def _member(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _members(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return value - value == 0  # neither infinite nor not a number
    if value is None or isinstance(value, bool | int | str):
        return True
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(_is_plain(item) for item in value.values())
    # Tagged values, symbols and references are named tuples, not lists.
    return isinstance(value, list) and all(_is_plain(item) for item in value)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
