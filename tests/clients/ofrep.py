"""OpenFeature's OFREP provider. Says what each flag comes to, then ends."""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

base, token, user, *keys = sys.argv[1:]
api.set_provider(OFREPProvider(base, headers_factory=lambda: {"Authorization": f"Bearer {token}"}))
client = api.get_client()
context = EvaluationContext(None if user == "-" else user, {"plan": "pro"})
told = {}
for key in keys:
    name, _, kind = key.partition("=")
    ask, none = {
        "string": (client.get_string_details, "none"),
        "object": (client.get_object_details, {}),
        "number": (client.get_integer_details, -1),
    }.get(kind, (client.get_boolean_details, False))
    details = ask(name, none, context)
    told[name] = {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "errorCode": details.error_code,
        "errorMessage": details.error_message,
    }
print(json.dumps(told))
