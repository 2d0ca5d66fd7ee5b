"""Seals and opens tokens with jwcrypto, for tests in test/e2e.

Usage: jwcrypto_tokens.py seal KEY < {"header": ..., "plaintext": ...}, or a list of them, for one token a line;
jwcrypto_tokens.py open KEY < token
"""

import json
import sys

from jwcrypto import jwe, jwk


def main(verb, path):
    with open(path, encoding="utf-8") as file:
        key = jwk.JWK(**{name: value for name, value in json.load(file)["keys"][0].items() if name != "sealwire"})
    text = sys.stdin.read()
    if verb == "seal":
        given = json.loads(text)
        for each in given if isinstance(given, list) else [given]:
            header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": key.get("kid"), **each["header"]}
            token = jwe.JWE(each["plaintext"].encode(), protected=json.dumps(header), recipient=key)
            print(token.serialize(compact=True))
    else:
        token = jwe.JWE()
        token.deserialize(text.strip(), key=key)
        print(token.payload.decode())


main(*sys.argv[1:])
