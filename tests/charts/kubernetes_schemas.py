# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' own schemas, and those of the custom resources that the chart makes, for strict checks."""

import copy
import json
import pathlib

import jsonschema
import yaml

INT_OR_STRING = {"type": ["integer", "string"]}
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def _strict(schema):
    """The schema, but with unknown fields refused, as `kubectl --validate=strict` does."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    strict = {
        key: {name: _strict(part) for name, part in value.items()} if key == "properties" else _strict(value)
        for key, value in schema.items()
        if key != "format"  # int32 and the like: no rules of JSON Schema.
    }
    if "properties" in strict and not strict.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


class Schemas:
    """`swagger` is api/openapi-spec/swagger.json of Kubernetes, `definitions` files of custom resources."""

    def __init__(self, swagger, definitions):
        document = json.loads(pathlib.Path(swagger).read_text(encoding="utf-8"))
        self.version = document["info"]["version"]
        self._all = _strict(document["definitions"])
        self._all[QUANTITY] = {"type": ["string", "number"]}
        self._by_kind = {}
        for name, definition in document["definitions"].items():
            for kind in definition.get("x-kubernetes-group-version-kind", []):
                version = "/".join(filter(None, (kind["group"], kind["version"])))
                self._by_kind[version, kind["kind"]] = {
                    "$ref": f"#/definitions/{name}",
                    "definitions": self._all,
                }
        for path in definitions:
            # cert-manager's have a line of a template among their labels.
            text = "".join(
                line for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines(True) if "{{" not in line
            )
            for crd in yaml.safe_load_all(text):
                spec = crd["spec"]
                for version in spec["versions"]:
                    schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
                    for own in ("apiVersion", "kind", "metadata"):
                        schema["properties"][own] = {}
                    key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                    self._by_kind[key] = _strict(schema)

    def problems(self, manifest):
        """What is wrong with a manifest, as lines; empty if nothing is."""
        key = manifest.get("apiVersion"), manifest.get("kind")
        if key not in self._by_kind:
            return [f"there is no kind {key[1]} in {key[0]}"]
        validator = jsonschema.Draft7Validator(self._by_kind[key])
        return [
            f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in validator.iter_errors(manifest)
        ]
