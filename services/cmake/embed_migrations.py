#!/usr/bin/env python3
# Copyright the Fieldloop authors.
# SPDX-License-Identifier: Apache-2.0
"""Writes STEM.h, STEM_backup.h and STEM.cc, which hold numbered SQL files as fieldloop::Migration values.

Beside them may lie restored.sql, statements that a restore runs once, and blob_columns.txt, lines of
TABLE.COLUMN whose values are digests of blobs ("#" begins a comment).
"""

import pathlib
import re
import sys

RESTORED = "restored.sql"
BLOB_COLUMNS = "blob_columns.txt"


def main(stem: str, namespace: str, *files: str) -> int:
    paths = {path.name: path for path in map(pathlib.Path, files)}
    restored = paths.pop(RESTORED).read_text() if RESTORED in paths else ""
    lines = paths.pop(BLOB_COLUMNS).read_text().splitlines() if BLOB_COLUMNS in paths else []
    columns = "".join(f'"{line.strip()}", ' for line in lines if line.strip() and not line.startswith("#"))
    entries = []
    for number, name in enumerate(sorted(paths), 1):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", name)
        if match is None or int(match.group(1)) != number:
            print(f"{paths[name]}: want {number:04d}_name.sql: numbers have no gap", file=sys.stderr)
            return 1
        entries.append(f'    {{{number}, "{match.group(2)}", R"sql({paths[name].read_text()})sql"}},\n')
    out = pathlib.Path(stem)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".h").write_text(
        "#pragma once\n#include <vector>\n#include \"services/common/sql/database.h\"\n"
        f"namespace {namespace} {{\nconst std::vector<fieldloop::Migration>& Migrations();\n}}\n"
    )
    out.with_name(f"{out.name}_backup.h").write_text(
        f"#pragma once\n#include \"migrations/{out.name}.h\"\nnamespace {namespace} {{\n"
        "// Statements separated by \";\\n\" for after a restore; :age is the microseconds since the backup.\n"
        "const char* RestoredSql();\n"
        "// TABLE.COLUMN whose values, unless empty, are digests of blobs.\n"
        "const std::vector<const char*>& BlobColumns();\n}\n"
    )
    out.with_suffix(".cc").write_text(
        f'#include "migrations/{out.name}_backup.h"\nnamespace {namespace} {{\n'
        "const std::vector<fieldloop::Migration>& Migrations() {\n"
        "  static const std::vector<fieldloop::Migration> migrations = {\n"
        + "".join(entries)
        + "  };\n  return migrations;\n}\n"
        f'const char* RestoredSql() {{ return R"sql({restored})sql"; }}\n'
        "const std::vector<const char*>& BlobColumns() {\n"
        f"  static const std::vector<const char*> columns = {{{columns}}};\n  return columns;\n}}\n}}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
