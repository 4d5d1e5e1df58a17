// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_UPLOAD_OBSERVER_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_UPLOAD_OBSERVER_H_

#include <cstdint>

#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

// Why a recording was not stored. A closed set: it labels a metric.
enum class RefusalReason : std::uint8_t {
  kMalformed,    // The file or what came with it cannot be read.
  kTooLarge,     // More than kMaxFileBytes.
  kDuplicate,    // It is there, and the caller asked to refuse it then.
  kBusy,         // No memory for one more upload now.
  kStorageFull,  // The disk or the database is full.
  kUnavailable,  // Storage cannot be reached, or failed.
};

// Hears what becomes of recordings. Thread-safe.
class UploadObserver {
 public:
  UploadObserver() = default;
  UploadObserver(const UploadObserver&) = delete;
  UploadObserver& operator=(const UploadObserver&) = delete;
  virtual ~UploadObserver() = default;

  // A sample was stored that was not there before.
  virtual void SampleStored(SampleSource source, SampleFormat format, std::int64_t size_bytes) = 0;
  virtual void UploadRefused(RefusalReason reason) = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_UPLOAD_OBSERVER_H_
