#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""A request is one trace through all services that it passes, and its ids are in their logs."""

import argparse
import http.client
import http.server
import json
import os
import pathlib
import re
import ssl
import sys
import tempfile
import threading
import unittest
import unittest.mock

from ingestion_services import IngestionServices

BINARIES = None
WAIT_S = 60
CLIENT, SERVER = 3, 2  # Span.SpanKind
CHECK_ACCESS = "fieldloop.provisioning.v1.ProvisioningService/CheckAccess"
GET_SAMPLE = "fieldloop.ingestion.v1.IngestionService/GetSample"


class Collector:
    """Takes spans by OTLP over HTTP in JSON."""

    def __init__(self):
        self._spans = []
        self._changed = threading.Condition()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                good = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
                if good:
                    collector._take(body)
                self.send_response(200 if good else 400)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, body):
        with self._changed:
            for of_resource in body["resourceSpans"]:
                attributes = {a["key"]: a["value"]["stringValue"] for a in of_resource["resource"]["attributes"]}
                for of_scope in of_resource["scopeSpans"]:
                    for span in of_scope["spans"]:
                        self._spans.append({**span, "service": attributes["service.name"]})
            self._changed.notify_all()

    def wait(self, trace_id, **wanted):
        """The span of a trace that has all the wanted members."""

        def find():
            return next(
                (
                    span
                    for span in self._spans
                    if span["traceId"] == trace_id and all(span.get(k) == v for k, v in wanted.items())
                ),
                None,
            )

        with self._changed:
            if not self._changed.wait_for(lambda: find() is not None, WAIT_S):
                have = [(s["service"], s["name"], s["kind"]) for s in self._spans if s["traceId"] == trace_id]
                raise AssertionError(f"no span {wanted} in {trace_id}, only {have}")
            return find()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class TracesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.collector = Collector()
        cls.addClassCleanup(cls.collector.close)
        cls.enterClassContext(
            unittest.mock.patch.dict(
                os.environ, FIELDLOOP_TRACES=cls.collector.url, FIELDLOOP_LOG_FORMAT="json"
            )
        )
        folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="fieldloop-traces-"))
        cls.services = cls.enterClassContext(IngestionServices(BINARIES, pathlib.Path(folder) / "home"))

    def log(self, service):
        """Its lines; each is an object of its own."""
        text = (self.services.home / f"{service}.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def new_token(self, role):
        """One that ingestion has not seen, and so must ask provisioning about."""
        return self.services.cli_json("tokens", "api", "--role", role)[-1]["secret"]

    def check_access_of(self, trace_id, parent):
        """The two spans of ingestion's question whether the caller may."""
        asked = self.collector.wait(trace_id, name=CHECK_ACCESS, kind=CLIENT)
        self.assertEqual((asked["service"], asked["parentSpanId"]), ("ingestion", parent["spanId"]))
        answered = self.collector.wait(trace_id, name=CHECK_ACCESS, kind=SERVER)
        self.assertEqual((answered["service"], answered["parentSpanId"]), ("provisioning", asked["spanId"]))
        for inner, outer in ((answered, asked), (asked, parent)):
            self.assertLessEqual(int(outer["startTimeUnixNano"]), int(inner["startTimeUnixNano"]))

    def test_a_command_is_a_trace_through_two_services(self):
        token = self.new_token("viewer")
        done = self.services.cli("--token", token, "samples", "get", "none", check=False)
        self.assertNotEqual(done.returncode, 0)
        (trace_id,) = re.findall(r"^  request id ([0-9a-f]{32})$", done.stderr, re.MULTILINE)
        command = self.collector.wait(trace_id, name="fieldloop samples get")
        self.assertNotIn("parentSpanId", command)
        self.assertEqual((command["service"], command["status"]["code"]), ("fieldloop", 2))
        called = self.collector.wait(trace_id, name=GET_SAMPLE, kind=CLIENT)
        self.assertEqual(called["parentSpanId"], command["spanId"])
        handled = self.collector.wait(trace_id, name=GET_SAMPLE, kind=SERVER)
        self.assertEqual((handled["service"], handled["parentSpanId"]), ("ingestion", called["spanId"]))
        self.check_access_of(trace_id, handled)
        # The refusal is in the log of who refused, under the same ids.
        (line,) = [line for line in self.log("ingestion") if line.get("request_id") == trace_id]
        self.assertEqual(line["trace_id"], trace_id)
        self.assertEqual(line["span_id"], handled["spanId"])
        self.assertRegex(line["message"], "^NOT_FOUND ")

    def test_an_upload_is_in_the_trace_of_its_client(self):
        trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
        context = ssl.create_default_context(cafile=str(self.services.ca_file))
        context.check_hostname = False
        connection = http.client.HTTPSConnection(self.services.addresses["http"], context=context)
        self.addCleanup(connection.close)
        connection.request(
            "POST",
            "/api/training/data",
            "timestamp,x\n0,1\n10,2\n20,3\n",
            {
                "x-api-key": self.services.token,
                "x-file-name": "idle.csv",
                "x-request-id": "order-66",
                "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
            },
        )
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200, answer.read())
        upload = self.collector.wait(trace_id, name="POST /api/{category}/data", kind=SERVER)
        self.assertEqual((upload["service"], upload["parentSpanId"]), ("ingestion", "00f067aa0ba902b7"))
        self.assertEqual(answer.headers["traceresponse"], f"00-{trace_id}-{upload['spanId']}-01")
        self.assertEqual(answer.headers["x-request-id"], "order-66")
        self.check_access_of(trace_id, upload)

    def test_every_line_of_the_logs_is_an_object_with_its_time(self):
        for service in ("provisioning", "ingestion"):
            lines = self.log(service)
            self.assertTrue(lines)
            for line in lines:
                self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
                self.assertEqual(line["service"], service)
                self.assertIn("message", line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    arguments, rest = parser.parse_known_args()
    BINARIES = arguments.bin
    unittest.main(argv=[sys.argv[0], *rest])
