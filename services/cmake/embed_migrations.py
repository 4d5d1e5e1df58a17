#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes STEM.h and STEM.cc, which hold numbered SQL files as fieldloop::Migration values."""

import pathlib
import re
import sys


def main(stem: str, namespace: str, *files: str) -> int:
    entries = []
    for number, path in enumerate(sorted(pathlib.Path(f) for f in files), 1):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)", path.stem)
        if match is None or int(match.group(1)) != number:
            print(f"{path}: want {number:04d}_name.sql: numbers have no gap", file=sys.stderr)
            return 1
        entries.append(f'    {{{number}, "{match.group(2)}", R"sql({path.read_text()})sql"}},\n')
    out = pathlib.Path(stem)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".h").write_text(
        "#pragma once\n#include <vector>\n#include \"services/common/sql/database.h\"\n"
        f"namespace {namespace} {{\nconst std::vector<fieldloop::Migration>& Migrations();\n}}\n"
    )
    out.with_suffix(".cc").write_text(
        f'#include "migrations/{out.name}.h"\nnamespace {namespace} {{\n'
        "const std::vector<fieldloop::Migration>& Migrations() {\n"
        "  static const std::vector<fieldloop::Migration> migrations = {\n"
        + "".join(entries)
        + "  };\n  return migrations;\n}\n}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
