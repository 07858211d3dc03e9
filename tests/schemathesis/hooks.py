"""What schemathesis is told of Serin's admin API: what there is, whose token it has, and what that token may do."""

import os

import schemathesis

ROLES = ["none", "viewer", "registrar", "operator", "admin"]
ROLE = os.environ["SERIN_ROLE"]
# The services that the token is for; none: all.
SERVICES = os.environ["SERIN_SERVICES"].split()
# Names that there are, beside the random ones: behind those stand more checks than behind a 404.
KNOWN = {"service": "search", "name": "search.own", "ring": "team"}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    schemas = raw_schema["components"]["schemas"]
    # Schemathesis 4.32 fails on alternatives of which one has several types: each gets an alternative of its own.
    for name, schema in schemas.items():
        kinds = schema.get("type")
        if isinstance(kinds, list):
            schemas[name] = {"anyOf": [{**schema, "type": kind} for kind in kinds]}
    if ROLE == "none":
        # It would make tokens up, and after ten wrong ones hear nothing but 429.
        for operations in raw_schema["paths"].values():
            for operation in operations.values():
                operation.pop("security", None)


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Half of the names are known; which half depends on the random ones alone, so that a seed says it."""
    for name, value in (path_parameters or {}).items():
        if name in KNOWN and len(str(value)) % 2 == 0:
            path_parameters[name] = KNOWN[name]
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    """The same with URLs: those that can be used lead to a port that nobody listens on."""
    if isinstance(body, dict) and isinstance(body.get("url"), str) and len(body["url"]) % 2 == 0:
        body["url"] = "http://127.0.0.1:9"
    return body


@schemathesis.check
def only_what_the_role_may(context, response, case):
    """Nobody gets what the document does not let their role have."""
    least = case.operation.definition.raw.get("x-serin-role", "none")
    status = response.status_code
    if status >= 400:
        return
    assert ROLES.index(ROLE) >= ROLES.index(least), f"{ROLE} got {status} for what takes {least}"
    if SERVICES and least not in ("none", "viewer"):
        service = (case.path_parameters or {}).get("service")
        assert service in SERVICES, f"a token for {SERVICES} got {status} for {service!r}"


@schemathesis.check
def no_error_of_the_servers_own(context, response, case):
    """What is declared may fail, as when a disk is full; nothing fails for a reason that Serin does not know."""
    status = response.status_code
    declared = case.operation.definition.raw["responses"]
    assert status < 500 or (status in (502, 503, 507) and str(status) in declared), f"the answer is {status}"
