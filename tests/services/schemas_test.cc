// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Every service's schema is the same on both databases, and however it was reached.

#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "migrations/build_storage_backup.h"
#include "migrations/distribution_storage_backup.h"
#include "migrations/evaluation_storage_backup.h"
#include "migrations/ingestion_storage_backup.h"
#include "migrations/provisioning_storage_backup.h"
#include "services/common/sql/database.h"
#include "tests/support/filled_tables.h"
#include "tests/support/postgres/postgres_database.h"
#include "tests/support/postgres/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::Columns;
using ::fieldloop::testing::Engine;
using ::fieldloop::testing::FillTables;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::ReadColumns;
using ::fieldloop::testing::ScratchDatabase;
using ::fieldloop::testing::StatusIs;

using Rows = std::vector<std::vector<std::string>>;

// What a SELECT of texts gives.
Rows Select(soci::session& session, const std::string& sql) {
  Rows rows;
  for (const soci::row& row : soci::rowset<soci::row>(session.prepare << sql)) {
    std::vector<std::string> values;
    for (std::size_t i = 0; i < row.size(); ++i) {
      values.push_back(row.get_indicator(i) == soci::i_null ? "" : row.get<std::string>(i));
    }
    rows.push_back(std::move(values));
  }
  return rows;
}

// Columns: table, column, type, NOT NULL, default. Indexes: table, index or "key", UNIQUE, PARTIAL,
// columns. Each catalogue's own words are brought to the same.
constexpr char kSqliteColumns[] =
    "SELECT m.name, c.name, lower(c.type), CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN 'NOT NULL' "
    "ELSE '' END, COALESCE(c.dflt_value, '') FROM sqlite_master m, pragma_table_info(m.name) c "
    "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
constexpr char kPostgresColumns[] =
    "SELECT table_name::text, column_name::text, data_type::text, CASE WHEN is_nullable = 'NO' "
    "THEN 'NOT NULL' ELSE '' END, COALESCE(regexp_replace(column_default, '::[a-z ]+$', ''), "
    "'') "
    "FROM information_schema.columns WHERE table_schema = 'public'";
constexpr char kSqliteIndexes[] =
    "SELECT m.name, CASE WHEN i.origin = 'c' THEN i.name ELSE 'key' END, CASE WHEN i.\"unique\" = "
    "1 THEN 'UNIQUE' ELSE '' END, CASE WHEN i.partial = 1 THEN 'PARTIAL' ELSE '' END, (SELECT "
    "group_concat(c.name, ', ') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) "
    "c) AS columns FROM sqlite_master m, pragma_index_list(m.name) i WHERE m.type = 'table' "
    "UNION ALL SELECT m.name, 'key', 'UNIQUE', '', c.name FROM sqlite_master m, "
    "pragma_table_info(m.name) c WHERE m.type = 'table' AND c.pk > 0 AND lower(c.type) = 'integer' "
    "AND 1 = (SELECT COUNT(*) FROM pragma_table_info(m.name) k WHERE k.pk > 0)";
constexpr char kPostgresIndexes[] =
    "SELECT t.relname::text, CASE WHEN n.conname IS NULL THEN c.relname::text ELSE 'key' END, CASE "
    "WHEN i.indisunique THEN 'UNIQUE' ELSE '' END, CASE WHEN i.indpred IS NOT NULL THEN 'PARTIAL' "
    "ELSE '' END, (SELECT string_agg(a.attname, ', ' ORDER BY k.n) FROM unnest(i.indkey) WITH "
    "ORDINALITY k (attnum, n) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum) "
    "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid "
    "JOIN pg_namespace s ON s.oid = t.relnamespace AND s.nspname = 'public' LEFT JOIN "
    "pg_constraint n ON n.conindid = c.oid AND n.contype IN ('p', 'u')";

std::string Describe(Engine engine, Database& database) {
  std::set<std::string> lines;
  const absl::Status read = database.Read([&](soci::session& session) {
    const bool sqlite = engine == Engine::kSqlite;
    lines.clear();
    for (const auto& row : Select(session, sqlite ? kSqliteColumns : kPostgresColumns)) {
      lines.insert(absl::StrCat(row[0], ".", row[1], " ", row[2], " ", row[3], " ", row[4]));
    }
    for (const auto& row : Select(session, sqlite ? kSqliteIndexes : kPostgresIndexes)) {
      lines.insert(absl::StrCat(row[2], " ", row[1], " ON ", row[0], " (", row[4], ") ", row[3]));
    }
    return absl::OkStatus();
  });
  EXPECT_THAT(read, IsOk());
  return absl::StrJoin(lines, "\n");
}

struct Schema {
  std::string service;
  const std::vector<Migration>* migrations = nullptr;
  friend void PrintTo(const Schema& schema, std::ostream* os) { *os << schema.service; }
};

class SchemaTest : public ::testing::TestWithParam<Schema> {
 protected:
  static std::unique_ptr<ScratchDatabase> Make(Engine engine) {
    return ScratchDatabase::Make(engine, *GetParam().migrations);
  }
};

TEST_P(SchemaTest, IsTheSameOnBothDatabases) {
  const auto postgres = Make(Engine::kPostgres);
  if (IsSkipped()) {
    return;
  }
  const auto sqlite = Make(Engine::kSqlite);
  const std::string described = Describe(Engine::kPostgres, postgres->get());
  EXPECT_THAT(described, ::testing::HasSubstr("fieldloop_migrations.number integer NOT NULL"));
  EXPECT_EQ(described, Describe(Engine::kSqlite, sqlite->get()));
}

TEST_P(SchemaTest, IsTheSameAfterEachUpgradeInTurnAsAfterAllAtOnce) {
  for (const Engine engine : {Engine::kSqlite, Engine::kPostgres}) {
    const auto whole = Make(engine);
    const auto upgraded = ScratchDatabase::Make(engine, {});
    if (IsSkipped()) {
      return;
    }
    std::vector<Migration> known;
    for (const Migration& migration : *GetParam().migrations) {
      known.push_back(migration);
      ASSERT_THAT(Database::Open(upgraded->options(), known), IsOk());
    }
    EXPECT_EQ(Describe(engine, upgraded->get()), Describe(engine, whole->get()));
  }
}

TEST_P(SchemaTest, AnUpgradeFromEachEarlierOneKeepsEveryRow) {
  for (const Engine engine : {Engine::kSqlite, Engine::kPostgres}) {
    for (std::size_t from = 1; from < GetParam().migrations->size(); ++from) {
      SCOPED_TRACE(absl::StrCat(::testing::PrintToString(engine), ", from schema ", from));
      const auto scratch = ScratchDatabase::Make(engine, {});
      if (IsSkipped()) {
        return;
      }
      const std::vector<Migration> known(
          GetParam().migrations->begin(),
          GetParam().migrations->begin() + static_cast<std::ptrdiff_t>(from));
      DatabaseOptions options = scratch->options();
      options.rehearse = false;
      const auto old = Database::Open(options, known);
      ASSERT_THAT(old, IsOk());
      FillTables(**old);
      const Columns before = ReadColumns(**old);
      const auto upgraded = Database::Open(options, *GetParam().migrations);
      ASSERT_THAT(upgraded, IsOk());
      const Columns after = ReadColumns(**upgraded);
      for (const auto& [column, values] : before) {
        ASSERT_GE(values.size(), 2) << column.first;
        ASSERT_TRUE(after.count(column) > 0) << column.first << "." << column.second << " is gone";
        EXPECT_EQ(after.at(column), values) << column.first << "." << column.second;
      }
      // The old program is told, rather than let at tables that it does not know.
      EXPECT_THAT(Database::Open(options, known), StatusIs(absl::StatusCode::kFailedPrecondition));
    }
  }
}

// A backup must know where blobs are named: a new column with a digest is to be put on one of the
// two lists.
TEST(BlobColumnsTest, EveryColumnOfDigestsIsKnownToNameABlobOrNot) {
  const std::set<std::string> others = {
      "build.impulses.digest",                    // Of a recipe.
      "build.builds.dataset_digest",              // Ingestion's.
      "build.builds.impulse_digest",              //
      "build.builds.parent_digest",               // Of a model, which names the blob.
      "build.builds.trainer_digest",              //
      "build.models.dataset_digest",              //
      "build.models.impulse_digest",              //
      "build.models.parent_digest",               //
      "build.models.trainer_digest",              //
      "distribution.device_states.model_digest",  // Of build's blobs, as all below.
      "distribution.rollouts.model_digest",
      "distribution.rollouts.artifact_digests",
      "evaluation.sketches.model_digest",
      "evaluation.device_runs.model_digest",
      "evaluation.drift_looks.model_digest",
      "evaluation.drift_reports.model_digest",
      "ingestion.samples.model_digest",
      "ingestion.suggestions.model_digest",
      "ingestion.dataset_versions.digest",         // Of a list.
      "ingestion.dataset_version_samples.digest",  // Of a sample, which names the blob.
      "ingestion.blob_garbage.digest",             // Those that nobody needs.
      "provisioning.enrollment_tokens.secret_digest",
      "provisioning.enrollment_tokens.key_digest",
      "provisioning.api_tokens.secret_digest",
  };
  std::set<std::string> known = others;
  std::set<std::string> there;
  const std::vector<std::pair<Schema, std::vector<const char*>>> services = {
      {{"build", &build::Migrations()}, build::BlobColumns()},
      {{"distribution", &distribution::Migrations()}, distribution::BlobColumns()},
      {{"evaluation", &evaluation::Migrations()}, evaluation::BlobColumns()},
      {{"ingestion", &ingestion::Migrations()}, ingestion::BlobColumns()},
      {{"provisioning", &provisioning::Migrations()}, provisioning::BlobColumns()}};
  for (const auto& [schema, blob_columns] : services) {
    const auto database = ScratchDatabase::Make(Engine::kSqlite, *schema.migrations);
    for (const auto& [column, values] : ReadColumns(database->get())) {
      if (column.second.find("digest") != std::string::npos) {
        there.insert(absl::StrCat(schema.service, ".", column.first, ".", column.second));
      }
    }
    for (const char* column : blob_columns) {
      known.insert(absl::StrCat(schema.service, ".", column));
    }
  }
  EXPECT_EQ(there, known);
}

INSTANTIATE_TEST_SUITE_P(Services, SchemaTest,
                         ::testing::Values(Schema{"build", &build::Migrations()},
                                           Schema{"distribution", &distribution::Migrations()},
                                           Schema{"evaluation", &evaluation::Migrations()},
                                           Schema{"ingestion", &ingestion::Migrations()},
                                           Schema{"provisioning", &provisioning::Migrations()}),
                         [](const auto& param_info) { return param_info.param.service; });

}  // namespace
}  // namespace fieldloop
