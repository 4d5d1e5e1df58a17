// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The labelling queue over 100,000 samples, in SQLite.

#include <cstdlib>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>
#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/ingestion/storage/sql_labelling_store.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"

namespace fieldloop::ingestion {
namespace {

constexpr int kSamples = 100'000;

// Of the samples three in four wait; a tenth of these is uncertain, another novel. One in a hundred
// of the labelled ones disagrees.
Database& Filled() {
  static SqliteDatabase* const database = [] {
    auto* fresh = new SqliteDatabase;
    const absl::Status filled = fresh->get().Write([](soci::session& session) -> absl::Status {
      std::string id;
      std::string digest;
      int labelled = 0;
      int disagreeing = 0;
      double uncertainty = 0;
      double novelty = 0;
      long long created = 0;  // NOLINT(google-runtime-int)
      soci::statement insert =
          (session.prepare << "INSERT INTO samples (project, sample_id, file_name, format, digest,"
                              " size_bytes, canonical_digest, axes, readings, frequency_hz,"
                              " resampling, split, source, device, model_digest, reason,"
                              " probability, predicted_label, confidence, start_micros, flags,"
                              " create_micros, label_number, labelled, uncertainty, novelty,"
                              " disagreeing) VALUES ('motor', :id, 'a.csv', 1, :digest, 1000,"
                              " :digest, 'x', 100, 100, '', 1, 1, '', '', '', 0, '', 0, 0, '',"
                              " :created, 0, :labelled, :uncertainty, :novelty, :disagreeing)",
           soci::use(id, "id"), soci::use(digest, "digest"), soci::use(created, "created"),
           soci::use(labelled, "labelled"), soci::use(uncertainty, "uncertainty"),
           soci::use(novelty, "novelty"), soci::use(disagreeing, "disagreeing"));
      for (int i = 0; i < kSamples; ++i) {
        digest = ToHex(Sha256Of(absl::StrCat(i)));
        id = digest.substr(0, 32);
        created = i;
        labelled = i % 4 == 0 ? 1 : 0;
        disagreeing = i % 400 == 0 ? 1 : 0;
        uncertainty = i % 10 == 1 ? 0.2 + 0.6 * i / kSamples : 0;
        novelty = i % 10 == 2 ? 1.0 + 9.0 * i / kSamples : 0;
        insert.execute(true);
      }
      return absl::OkStatus();
    });
    if (!filled.ok()) {
      std::abort();
    }
    return fresh;
  }();
  return database->get();
}

// A call for ten tasks and one that gives them back.
void LeaseTenOf100000(benchmark::State& state) {
  SqlLabellingStore store(Filled());
  LeaseRequest request{.project = "motor",
                       .filter = {},
                       .labeller = "ann",
                       .count = 10,
                       .random_share = 0.5,
                       .second_opinion_share = 0,
                       .now = absl::FromUnixSeconds(100),
                       .expire_time = absl::FromUnixSeconds(160),
                       .draw = 0};
  for (auto _ : state) {
    request.draw += 7919;
    const auto leased = store.Lease(request);
    if (!leased.ok() || leased->tasks.size() != 10) {
      state.SkipWithError("not leased");
      break;
    }
    state.PauseTiming();
    benchmark::DoNotOptimize(store.Release("motor", "ann", {}));
    state.ResumeTiming();
  }
}
BENCHMARK(LeaseTenOf100000)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace fieldloop::ingestion

BENCHMARK_MAIN();
