"""Calls the payments service with Python grpcio and messages made by protoc, for test/e2e/other-libraries.test.ts.

Usage: authorize.py ADDRESS FOLDER-OF-GENERATED-CODE < AuthorizeRequest as JSON, its card a token
"""

import sys

import grpc
from google.protobuf import json_format


def main(address, generated):
    sys.path.insert(0, generated)
    from payments.v1 import payments_pb2, payments_pb2_grpc

    request = json_format.Parse(sys.stdin.read(), payments_pb2.AuthorizeRequest())
    with grpc.insecure_channel(address) as channel:
        answer = payments_pb2_grpc.PaymentServiceStub(channel).Authorize(request, timeout=10)
    print(json_format.MessageToJson(answer, indent=None))


main(*sys.argv[1:])
