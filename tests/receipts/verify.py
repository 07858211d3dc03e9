"""PyJWT. Says what the receipt claims, or why it is not valid. The key is a secret, or a key set in a file."""

import json
import sys

import jwt

algorithm, key, token = sys.argv[1:]
if algorithm == "EdDSA":
    with open(key, encoding="utf-8") as file:
        keys = jwt.PyJWKSet.from_dict(json.load(file))
    key = keys[jwt.get_unverified_header(token)["kid"]].key
try:
    claims = jwt.decode(token, key, algorithms=[algorithm], issuer="serin", options={"require": ["exp", "iat", "sub"]})
    print(json.dumps(claims))
except jwt.InvalidTokenError as error:
    print(json.dumps({"error": type(error).__name__}))
