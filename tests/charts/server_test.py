#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Every manifest of every set of values, as a real API server takes it: a dry run that checks types, values,
defaults and admission, on which nothing is stored."""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from kubernetes_cluster import NAMESPACE, ApiError, Cluster, missing_programs  # noqa: E402

CHART = ROOT / "charts" / "fieldloop"
SETS = {
    "small": [],
    "standard": [],
    "large": [],
    "small with Jobs": ["--set", "training.runner=kubernetes"],
}
OPTIONS = argparse.Namespace()
SKIPPED = 77


class ServerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="fieldloop-kubernetes-")
        cls.addClassCleanup(folder.cleanup)
        cls.cluster = cls.enterClassContext(Cluster(OPTIONS.kubernetes, folder.name))
        for path in OPTIONS.crd:
            for definition in yaml.safe_load_all(pathlib.Path(path).read_text(encoding="utf-8")):
                if definition and definition["kind"] == "CustomResourceDefinition":
                    definition["metadata"].pop("labels", None)  # Templates, in the operators' own charts.
                    cls.cluster.api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        cls.collections = {}

    def collection(self, manifest):
        """The path at which manifests of this kind are made."""
        version = manifest["apiVersion"]
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        deadline = time.monotonic() + 60
        while (version, manifest["kind"]) not in self.collections:
            try:
                for resource in self.cluster.api("GET", root)["resources"]:
                    if "/" not in resource["name"]:
                        self.collections[version, resource["kind"]] = (resource["name"], resource["namespaced"])
            except ApiError:
                pass  # A definition is served a moment after it was made.
            self.assertLess(time.monotonic(), deadline, f"{version} {manifest['kind']} is not served")
        name, namespaced = self.collections[version, manifest["kind"]]
        return f"{root}/namespaces/{NAMESPACE}/{name}" if namespaced else f"{root}/{name}"

    def dry_run(self, manifest):
        path = f"{self.collection(manifest)}?dryRun=All&fieldValidation=Strict"
        return self.cluster.api("POST", path, manifest)

    def rendered(self, name):
        done = subprocess.run(
            [OPTIONS.helm, "template", "fieldloop", CHART, "--namespace", NAMESPACE,
             "--kube-version", self.cluster.api("GET", "/version")["gitVersion"],
             "-f", CHART / f"values-{name.split()[0]}.yaml", *SETS[name]], stdout=subprocess.PIPE, text=True, check=True)
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    def test_every_manifest_is_taken(self):
        for name in SETS:
            manifests = self.rendered(name)
            self.assertGreater(len(manifests), 20)
            for manifest in manifests:
                with self.subTest(values=name, kind=manifest["kind"], name=manifest["metadata"]["name"]):
                    taken = self.dry_run(manifest)
                    self.assertEqual(taken["kind"], manifest["kind"])
                    self.assertTrue(taken["metadata"]["uid"])
            print(f"{name}: {len(manifests)} manifests taken", file=sys.stderr)

    def test_pods_are_restricted(self):
        # The namespace enforces it for pods; of what makes pods the server only warns, so the pods are asked for.
        for name in SETS:
            for manifest in self.rendered(name):
                if manifest["kind"] in ("Deployment", "StatefulSet"):
                    template = manifest["spec"]["template"]
                    spec = template["spec"] | {"serviceAccountName": "default"}
                    claims = [c["metadata"]["name"] for c in manifest["spec"].get("volumeClaimTemplates", [])]
                    spec["volumes"] = spec["volumes"] + [{"name": c, "emptyDir": {}} for c in claims]
                    with self.subTest(values=name, of=manifest["metadata"]["name"]):
                        self.dry_run({"apiVersion": "v1", "kind": "Pod", "spec": spec,
                                      "metadata": {"name": "one", "labels": template["metadata"]["labels"]}})

    def test_a_field_that_is_not_known_and_a_value_that_is_wrong_are_refused(self):
        build = next(m for m in self.rendered("small") if m["metadata"]["name"] == "fieldloop-build"
                     and m["kind"] == "StatefulSet")
        with self.assertRaisesRegex(ApiError, "unknown field \"spec.replica\""):
            self.dry_run(build | {"spec": build["spec"] | {"replica": 1}})
        with self.assertRaisesRegex(ApiError, "must be greater than or equal to 0"):
            self.dry_run(build | {"spec": build["spec"] | {"replicas": -1}})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", required=True)
    parser.add_argument("--kubernetes", type=pathlib.Path, required=True)
    parser.add_argument("--crd", action="append", default=[])
    OPTIONS, rest = parser.parse_known_args()
    if missing := missing_programs(OPTIONS.kubernetes):
        print(f"manifests were not shown to an API server: there is no {', '.join(missing)}; ./dev kubernetes makes them")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
