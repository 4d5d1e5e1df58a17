#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes what an image is made of as SPDX 2.3 JSON (https://spdx.github.io/spdx-spec/v2.3): its Debian packages, from
dpkg's own list, with the licences of their machine-readable copyright files
(https://www.debian.org/doc/packaging-manuals/copyright-format/1.0), and our programs with their digests."""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import sys
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path("usr/local/bin")
UNKNOWN = "NOASSERTION"
# Debian's names of licences that SPDX calls otherwise; those that are in neither list get a reference of their own.
NAMES = {
    "expat": "MIT", "mit": "MIT", "x11": "X11", "isc": "ISC", "zlib": "Zlib", "openssl": "OpenSSL", "curl": "curl",
    "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause", "0bsd": "0BSD",
    "apache-2.0": "Apache-2.0", "artistic": "Artistic-1.0-Perl", "artistic-2.0": "Artistic-2.0", "mpl-1.1": "MPL-1.1",
    "mpl-2.0": "MPL-2.0", "cc0-1.0": "CC0-1.0", "bsl-1.0": "BSL-1.0", "boost-1.0": "BSL-1.0", "unicode": "Unicode-DFS-2016",
    "gpl-1": "GPL-1.0-only", "gpl-1+": "GPL-1.0-or-later", "gpl-2": "GPL-2.0-only", "gpl-2+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only", "gpl-3+": "GPL-3.0-or-later", "lgpl-2": "LGPL-2.0-only", "lgpl-2+": "LGPL-2.0-or-later",
    "lgpl-2.1": "LGPL-2.1-only", "lgpl-2.1+": "LGPL-2.1-or-later", "lgpl-3": "LGPL-3.0-only", "lgpl-3+": "LGPL-3.0-or-later",
    "gfdl-1.3": "GFDL-1.3-only", "gfdl-1.3+": "GFDL-1.3-or-later", "gfdl-1.2+": "GFDL-1.2-or-later",
    "agpl-3": "AGPL-3.0-only", "agpl-3+": "AGPL-3.0-or-later", "psf-2": "PSF-2.0", "wtfpl": "WTFPL", "unlicense": "Unlicense",
}  # fmt: skip


def paragraphs(text):
    """Of a file of dpkg's kind: each a {field: value}, the lines of a value joined as they stand."""
    for block in re.split(r"\n[ \t]*\n", text):
        fields, name = {}, None
        for line in block.splitlines():
            if line[:1] in (" ", "\t") and name:
                fields[name] += "\n" + line[1:]
            elif match := re.match(r"([!-9;-~]+):[ \t]*(.*)", line):
                name = match.group(1).lower()
                fields[name] = match.group(2)
        if fields:
            yield fields


class Licences:
    """Licence expressions, and the texts behind names that SPDX does not list."""

    def __init__(self):
        self.texts = {}  # {LicenseRef-...: text}

    def name(self, debian, texts):
        known = NAMES.get(re.sub(r"^(a?gpl|lgpl)-(\d)\.0", r"\1-\2", debian.lower()))
        if known:
            return known
        reference = "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", debian.replace("+", "-or-later")).strip("-.")
        text = texts.get(debian.lower(), "").strip() or f"Debian calls it \"{debian}\"."
        if self.texts.setdefault(reference, text) != text:  # The same name for another text.
            reference += "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
            self.texts[reference] = text
        return reference

    def expression(self, debian, texts):
        """"GPL-2+ or Artistic, and Expat" as SPDX writes it: in Debian's notation a comma binds less than all else."""
        parts = []
        for part in re.split(r",\s*(?:and\s+|or\s+)?", debian):
            choices = [
                " AND ".join(self.name(name.strip(), texts) for name in re.split(r"\s+and\s+", choice) if name.strip())
                for choice in re.split(r"\s+or\s+", part)
            ]
            choices = [choice for choice in dict.fromkeys(choices) if choice]
            if choices:
                parts.append(" OR ".join(f"({c})" if " AND " in c and len(choices) > 1 else c for c in choices))
        joiner = " OR " if re.search(r",\s*or\s", debian) else " AND "
        return joiner.join(f"({part})" if " " in part and len(parts) > 1 else part for part in parts)

    def of_package(self, root, package):
        """All that its copyright file names, or NOASSERTION if that is for people only."""
        path = root / "usr/share/doc" / package / "copyright"
        try:
            path = pathlib.Path(os.path.realpath(path)) if not path.is_symlink() else root / os.readlink(path).lstrip("/")
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return UNKNOWN
        if not re.match(r"\s*Format(-Specification)?:", text):
            return UNKNOWN
        found = list(paragraphs(text))
        texts = {}
        for fields in found:
            short, _, body = fields.get("license", "").partition("\n")
            if body.strip():
                texts[short.strip().lower()] = body
        expressions = {}
        for fields in found:
            short = fields.get("license", "").partition("\n")[0].strip()
            if "files" in fields and short:
                expressions[self.expression(short, texts)] = None
        expressions.pop("", None)
        if not expressions:
            return UNKNOWN
        return " AND ".join(f"({e})" if " " in e and len(expressions) > 1 else e for e in sorted(expressions))


def identifier(*words):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", "-".join(words))


def debian_packages(root, licences):
    status = (root / "var/lib/dpkg/status").read_text(encoding="utf-8")
    for fields in paragraphs(status):
        if not fields.get("status", "").endswith(" installed"):
            continue
        name, version, architecture = (fields[key] for key in ("package", "version", "architecture"))
        source, _, source_version = fields.get("source", name).partition(" ")
        purl = f"pkg:deb/debian/{urllib.parse.quote(name)}@{urllib.parse.quote(version, safe='~')}?arch={architecture}"
        yield {
            "SPDXID": identifier("deb", name, architecture),
            "name": name,
            "versionInfo": version,
            "supplier": f"Organization: {fields['maintainer']}",
            "sourceInfo": f"built from {source} {source_version.strip('()') or version}",
            "downloadLocation": UNKNOWN,
            "filesAnalyzed": False,
            "licenseConcluded": UNKNOWN,
            "licenseDeclared": licences.of_package(root, name),
            "copyrightText": UNKNOWN,
            "primaryPackagePurpose": "LIBRARY" if name.startswith("lib") else "APPLICATION",
            "externalRefs": [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
            ],
        }


def own_programs(root, version):
    for path in sorted((root / PROGRAMS).iterdir()):
        yield {
            "SPDXID": identifier("program", path.name),
            "name": path.name,
            "versionInfo": version,
            "packageFileName": f"/{PROGRAMS / path.name}",
            "downloadLocation": UNKNOWN,
            "filesAnalyzed": False,
            "licenseConcluded": "Apache-2.0",
            "licenseDeclared": "Apache-2.0",
            "copyrightText": "Copyright the Fieldloop authors.",
            "primaryPackagePurpose": "APPLICATION",
            "checksums": [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(path.read_bytes()).hexdigest()}],
        }


def project_version():
    return re.search(r"project\(.*?VERSION\s+([0-9.]+)", (ROOT / "CMakeLists.txt").read_text(), re.DOTALL).group(1)


def describe(root, image, now=None):
    """The document about the image `image` whose files are in the folder `root`."""
    root = pathlib.Path(root)
    version = project_version()
    licences = Licences()
    packages = [*own_programs(root, version), *debian_packages(root, licences)]
    whole = {
        "SPDXID": "SPDXRef-image",
        "name": image,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "primaryPackagePurpose": "CONTAINER",
    }
    digest = hashlib.sha256(json.dumps(packages, sort_keys=True).encode()).hexdigest()
    now = now or datetime.datetime.now(datetime.timezone.utc)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{image}-{version}",
        # The same content has the same name.
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, image + digest)}",
        "creationInfo": {"created": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": [f"Tool: fieldloop-sbom-{version}"]},
        "packages": [whole, *packages],
        "hasExtractedLicensingInfos": [
            {"licenseId": reference, "name": reference.removeprefix("LicenseRef-"), "extractedText": text}
            for reference, text in sorted(licences.texts.items())
        ],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image"},
            *(
                {"spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": p["SPDXID"]}
                for p in packages
            ),
        ],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, type=pathlib.Path, help="folder with the files of the image")
    parser.add_argument("--image", required=True, help="its name, such as fieldloop/build")
    options = parser.parse_args()
    json.dump(describe(options.root, options.image), sys.stdout, indent=1)
