"""Holds a dashboard against the types that Grafana generates from its own schema: prints what they do not have, and what is of
another type. Queries and options are held against the types of their own plugins."""

import enum
import json
import sys
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard


def wrong(value, hint, path):
    """Every place where a value is not of its type."""
    if not fits(value, hint):
        yield f"{path}: {value!r:.80} is no {hint}"
    elif isinstance(value, list):
        inner = typing.get_args(member_of(hint, list)) or (object,)
        for index, one in enumerate(value):
            yield from wrong(one, inner[0], f"{path}/{index}")
    elif isinstance(value, dict):
        inner = typing.get_args(member_of(hint, dict)) or (str, object)
        for name, one in value.items():
            yield from wrong(one, inner[1], f"{path}/{name}")
    elif hasattr(type(value), "from_json"):
        module = vars(sys.modules[type(value).__module__])
        for name, inner in typing.get_type_hints(type(value), module).items():
            yield from wrong(getattr(value, name, None), inner, f"{path}/{name}")


def fits(value, hint):
    """Whether a value is of a type, as far as can be seen from outside."""
    origin = typing.get_origin(hint)
    if hint in (object, typing.Any):
        return True
    if origin is typing.Union:
        return any(fits(value, one) for one in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in [one.value for one in hint] or isinstance(value, hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def member_of(hint, kind):
    """The part of a union that is a list, or a dictionary."""
    parts = typing.get_args(hint) if typing.get_origin(hint) is typing.Union else (hint,)
    return next((part for part in parts if typing.get_origin(part) is kind), None)


def lost(before, after, path):
    """Every place of a document that its types do not have."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in after:
                yield from lost(value, after[name], f"{path}/{name}")
            else:
                yield f"{path}/{name}: there is no such member"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{path}/{index}")
    elif before != after:
        yield f"{path}: {before!r:.80} is read as {after!r:.80}"


with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
register_default_plugins()
try:
    read = dashboard.Dashboard.from_json(document)
except (AttributeError, KeyError, TypeError, ValueError) as error:
    print(f"it cannot be read: {error!r}")
    sys.exit()
for line in wrong(read, dashboard.Dashboard, ""):
    print(line)
for line in lost(document, json.loads(JSONEncoder().encode(read)), ""):
    print(line)
