#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""The small set of the chart, run without a cluster: the programs take the flags, the secrets and the probes."""

import argparse
import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "demo"))

from installation import keep_free_port, start_process, stop_process  # noqa: E402

CHART = ROOT / "charts" / "fieldloop"
OPTIONS = argparse.Namespace(helm=None, kubernetes=None, bin=None)
PATIENCE_S = 180


class InstalledTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        done = subprocess.run(
            [OPTIONS.helm, "template", "fieldloop", CHART, "--kube-version", OPTIONS.kubernetes,
             "-f", CHART / "values-small.yaml"],
            capture_output=True, text=True, check=True,
        )
        self.manifests = [m for m in yaml.safe_load_all(done.stdout) if m]
        self.sources = {
            m["metadata"]["name"]: {k: base64.b64decode(v) for k, v in m["data"].items()}
            for m in self.manifests if m["kind"] == "Secret"
        }
        self.sources |= {
            m["metadata"]["name"]: {k: v.encode() for k, v in m["data"].items()}
            for m in self.manifests if m["kind"] == "ConfigMap"
        }
        trust = self.folder / "trust"
        self.run_program("fieldloop", "trust", "init", "--out", trust)
        self.sources["fieldloop-trust"] = {path.name: path.read_bytes() for path in trust.iterdir()}
        self.ports = {}

    def run_program(self, name, *arguments, check=True):
        return subprocess.run(
            [OPTIONS.bin / name, *map(str, arguments)], capture_output=True, text=True, check=check
        )

    def mount(self, name, spec, container):
        """Lays out the volumes of a pod as a kubelet would; {mount path: folder}."""
        root = self.folder / name
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        places = {}
        for mount in sorted(container["volumeMounts"], key=lambda mount: mount["mountPath"]):
            volume = volumes.get(mount["name"], {"emptyDir": {}})
            place = root / mount["mountPath"].lstrip("/")
            source = volume.get("secret") or volume.get("configMap")
            if source is None:
                place.mkdir(parents=True, exist_ok=True)
            else:
                data = self.sources[source.get("secretName") or source["name"]]
                data = {i["path"]: data[i["key"]] for i in source["items"]} if "items" in source else data
                if "subPath" in mount:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data[mount["subPath"]])
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    for file, content in data.items():
                        (place / file).write_bytes(content)
            places[mount["mountPath"]] = place
        return places

    def port(self, component, port):
        if (component, port) not in self.ports:
            self.ports[component, port] = self.kept_port()
        return self.ports[component, port]

    def kept_port(self):
        keeper = keep_free_port()
        self.addCleanup(keeper.close)
        return keeper.getsockname()[1]

    def here(self, argument, component, places):
        """An argument of a container as one of a process on this machine."""
        flag, equals, value = argument.partition("=")
        if value.startswith(("0.0.0.0:", "127.0.0.1:")):
            value = f"127.0.0.1:{self.port(component, value.split(':')[1])}"
        elif value.startswith("dns:///fieldloop-") and value.endswith("-replicas:7400"):
            called = value.removeprefix("dns:///fieldloop-").removesuffix("-replicas:7400")
            value = f"127.0.0.1:{self.port(called, '7400')}"
        elif value.startswith("/"):
            for path, place in places.items():
                if value == path or value.startswith(path + "/"):
                    value = str(place) + value.removeprefix(path)
                    break
        return flag + equals + value

    def test_services_start_answer_probes_and_take_the_administrators_token(self):
        probes = {}
        for manifest in self.manifests:
            if manifest["kind"] != "StatefulSet":
                continue
            component = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
            spec = manifest["spec"]["template"]["spec"]
            container = spec["containers"][0]
            places = self.mount(component, spec, container)
            process = start_process(
                [OPTIONS.bin / f"fieldloop-{component}", *(self.here(a, component, places) for a in container["args"])],
                self.folder / f"{component}.log",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            self.addCleanup(stop_process, process, 10)
            probes[component] = [
                self.here(a, component, places) for a in container["readinessProbe"]["exec"]["command"][1:]
            ]
        self.assertEqual(len(probes), 5)
        deadline = time.monotonic() + PATIENCE_S
        for component, probe in probes.items():
            while (done := self.run_program("fieldloop", *probe, check=False)).returncode != 0:
                log = (self.folder / f"{component}.log").read_text(encoding="utf-8")
                self.assertLess(time.monotonic(), deadline, f"{component}: {done.stderr}\n{log}")
        test = next(m for m in self.manifests if m["kind"] == "Pod")["spec"]
        container = next(c for c in test["containers"] if c["name"] == "token")
        places = self.mount("client", test, container)
        client = json.loads((places["/client"] / "client.json").read_text(encoding="utf-8"))
        client["addresses"] = {
            name: f"127.0.0.1:{self.port(name, address.rsplit(':', 1)[1])}" for name, address in client["addresses"].items()
        }
        for key in ("ca_file", "token_file"):
            client[key] = self.here(f"={client[key]}", "client", places)[1:]
        (places["/client"] / "client.json").write_text(json.dumps(client), encoding="utf-8")
        listed = self.run_program("fieldloop", *(self.here(a, "client", places) for a in container["command"][1:]))
        self.assertIn("no projects", listed.stdout)
        self.run_program("fieldloop", "--home", places["/client"], "projects", "create", "motion")
        healthy = self.run_program("fieldloop", "--home", places["/client"], "health")
        self.assertEqual(healthy.stdout.count("serving"), 5)

    def test_a_probe_of_a_service_that_is_not_there_fails(self):
        secret = self.folder / "ca.crt"
        secret.write_bytes(self.sources["fieldloop-build-tls"]["ca.crt"])
        done = self.run_program(
            "fieldloop", "health", "build", f"--address=127.0.0.1:{self.kept_port()}", f"--ca={secret}", "--timeout=1", check=False
        )
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", required=True)
    parser.add_argument("--kubernetes", required=True, help="version to render for")
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="folder of the programs")
    parser.parse_known_args(namespace=OPTIONS)
    unittest.main(argv=sys.argv[:1])
