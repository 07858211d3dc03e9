"""Opens a canary to half of all users, as one would in Unleash's UI. Usage: open_canary.py UNLEASH FLAG CANARY

UNLEASH and CANARY are URLs; UNLEASH_ADMIN_TOKEN is in the environment. A flag that there is already is left as it is.
"""

import json
import os
import sys
import urllib.error
import urllib.request

unleash, flag, canary = sys.argv[1:]
flags = f"{unleash}/api/admin/projects/default/features"
production = f"{flags}/{flag}/environments/production"


def post(url, body):
    headers = {"authorization": os.environ["UNLEASH_ADMIN_TOKEN"], "content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=30).close()


# The gateway learns from a variant's payload where the canary is.
variant = {
    "name": "canary",
    "weight": 1000,
    "weightType": "variable",
    "stickiness": "userId",
    "payload": {"type": "json", "value": json.dumps({"url": canary})},
}
half = {
    "name": "flexibleRollout",
    "parameters": {"rollout": "50", "stickiness": "userId", "groupId": flag},
    "variants": [variant],
}

try:
    post(flags, {"name": flag, "type": "release", "description": "New ranking model"})
except urllib.error.HTTPError as error:
    if error.code != 409:
        sys.exit(f"{error.code}: {error.read().decode()}")
    print(f"{flag} is there already")
    sys.exit()
post(f"{production}/strategies", half)
post(f"{production}/on", {})
print(f"{flag} is open to half of all users: {canary}")
