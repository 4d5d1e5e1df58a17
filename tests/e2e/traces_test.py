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
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock

import trainers_test
from ingestion_services import IngestionServices

BINARIES = None
EXAMPLES = trainers_test.ROOT / "docs/examples/trainers"
WAIT_S = 180
INTERNAL, SERVER, CLIENT, CONSUMER = 1, 2, 3, 5  # Span.SpanKind
BUILD_SERVICE = "fieldloop.build.v1.BuildService"
EVALUATION_SERVICE = "fieldloop.evaluation.v1.EvaluationService"
EXPORT = "fieldloop.ingestion.v1.IngestionService/ExportDatasetVersion"
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
        """The span of a trace (None: of any) that has all the wanted members."""

        def of_trace():
            return (span for span in self._spans if trace_id in (None, span["traceId"]))

        def find():
            return next(
                (span for span in of_trace() if all(span.get(k) == v for k, v in wanted.items())), None
            )

        with self._changed:
            if not self._changed.wait_for(lambda: find() is not None, WAIT_S):
                have = [(s["service"], s["name"], s["kind"]) for s in of_trace()]
                raise AssertionError(f"no span {wanted} in {trace_id}, only {have}")
            return find()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def whole_lines(path):
    """Of a log that may be written to meanwhile."""
    return path.read_bytes().decode(errors="replace").split("\n")[:-1]


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
        return [json.loads(line) for line in whole_lines(self.services.home / f"{service}.log")]

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


class QueuedWorkTest(unittest.TestCase):
    """What a call puts into a queue goes on in the trace of the call."""

    @classmethod
    def setUpClass(cls):
        trainers_test.BINARIES = BINARIES
        cls.collector = Collector()
        cls.addClassCleanup(cls.collector.close)
        cls.enterClassContext(unittest.mock.patch.dict(os.environ, FIELDLOOP_TRACES=cls.collector.url))
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="fieldloop-traces-")))
        (folder / "traced.py").write_text(
            "import os, runpy, sys\n"
            "print('started in', os.environ['TRACEPARENT'], flush=True)\n"
            f"sys.path.insert(0, {str(EXAMPLES)!r})\n"
            f"runpy.run_path({str(EXAMPLES / 'centroids.py')!r}, run_name='__main__')\n",
            encoding="utf-8",
        )
        trainer = {
            "id": "traced",
            "command": [sys.executable, "traced.py"],
            "features": "standardised",
            "environment": {"PYTHONDONTWRITEBYTECODE": "1"},
        }
        trainers = folder / "trainers.json"
        trainers.write_text(json.dumps({"trainers": [trainer]}), encoding="utf-8")
        cls.fresh = trainers_test.Fresh(folder, "--log-format", "json", trainers=trainers)
        cls.addClassCleanup(cls.fresh.up.stop)
        cls.build, cls.model = cls.fresh.build("--trainer", "traced")

    def log(self, service):
        lines = whole_lines(self.fresh.up.home / "logs" / f"{service}.log")
        return [json.loads(line) for line in lines if line.startswith("{")]

    def called(self, command, method, service):
        """The span of the call that a command makes, at the service that takes it."""
        command = self.collector.wait(None, name=f"fieldloop {command}", kind=INTERNAL)
        self.assertNotIn("parentSpanId", command)
        called = self.collector.wait(command["traceId"], name=method, kind=CLIENT)
        self.assertEqual(called["parentSpanId"], command["spanId"])
        handled = self.collector.wait(command["traceId"], name=method, kind=SERVER)
        self.assertEqual((handled["service"], handled["parentSpanId"]), (service, called["spanId"]))
        return handled

    def run_of(self, handled, name):
        """The span of the work that the call put into a queue, once it is done."""
        run = self.collector.wait(handled["traceId"], name=name, kind=CONSUMER)
        self.assertEqual((run["service"], run["parentSpanId"]), (handled["service"], handled["spanId"]))
        self.assertNotIn("status", run)
        return run

    def exported_for(self, run):
        """Ingestion's span of the export that the run asked for."""
        asked = self.collector.wait(run["traceId"], name=EXPORT, kind=CLIENT, service=run["service"])
        self.assertEqual(asked["parentSpanId"], run["spanId"])
        return self.collector.wait(
            run["traceId"], name=EXPORT, kind=SERVER, service="ingestion", parentSpanId=asked["spanId"]
        )

    def test_a_command_is_one_trace_down_to_the_run_of_its_build_and_the_export_of_its_dataset(self):
        handled = self.called("builds create", f"{BUILD_SERVICE}/CreateBuild", "build")
        run = self.run_of(handled, "build")
        self.exported_for(run)
        # What the run says of itself is in the log under its ids.
        (line,) = [
            line for line in self.log("build") if line.get("build") == self.build["name"] and "span_id" in line
        ]
        self.assertIn("succeeded", line["message"])
        ids = {"request_id": run["traceId"], "trace_id": run["traceId"], "span_id": run["spanId"]}
        self.assertEqual({key: line[key] for key in ids}, ids)
        # The trainer is told which trace it is in.
        trainer = self.collector.wait(run["traceId"], name="trainer", kind=INTERNAL)
        self.assertEqual(trainer["parentSpanId"], run["spanId"])
        command = [f"{BINARIES}/fieldloop", "--home", self.fresh.up.home, "--project", trainers_test.PROJECT]
        log = subprocess.run(
            [*command, "builds", "log", self.build["name"].split("/")[-1]],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertIn(f"started in 00-{trainer['traceId']}-{trainer['spanId']}-01\n", log)

    def test_an_evaluation_runs_in_the_trace_of_the_command_that_wanted_it(self):
        self.fresh.up.run(
            *("evaluations", "create", "--model", self.model["name"].split("/")[-1]),
            *("--dataset", "all/versions/1", "--watch"),
        )
        handled = self.called("evaluations create", f"{EVALUATION_SERVICE}/CreateEvaluation", "evaluation")
        self.exported_for(self.run_of(handled, "evaluation"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    arguments, rest = parser.parse_known_args()
    BINARIES = arguments.bin
    unittest.main(argv=[sys.argv[0], *rest])
