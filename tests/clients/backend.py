"""Unleash's SDK for Python. Says who of many users has which flag, sends its metrics, and ends."""

import json
import sys

from UnleashClient import UnleashClient
from UnleashClient.cache import BaseCache


class Memory(BaseCache):
    """Keeps nothing beyond this process."""

    def __init__(self):
        self.held = {}
        self.bootstrapped = False

    def set(self, key, value):
        self.held[key] = value

    def mset(self, data):
        self.held.update(data)

    def get(self, key, default=None):
        return self.held.get(key, default)

    def exists(self, key):
        return key in self.held

    def destroy(self):
        self.held.clear()


base, token, count, *names = sys.argv[1:]
client = UnleashClient(
    url=f"{base}/api",
    app_name="backend-python",
    custom_headers={"Authorization": token},
    refresh_interval=1,
    metrics_interval=1,
    cache=Memory(),
)
client.initialize_client()
told = {}
for name in names:
    told[name] = []
    for user in range(int(count)):
        plan = "pro" if user % 3 == 0 else "free"
        properties = {"plan": plan, "appVersion": f"{user % 12}.1.0"}
        context = {"userId": f"user-{user}", "properties": properties}
        variant = client.get_variant(name, context)
        told[name].append(variant["name"] if client.is_enabled(name, context) else "-")
print(json.dumps(told))
client.destroy()
