// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_APP_HOUSEKEEPING_H_
#define FIELDLOOP_SERVICES_INGESTION_APP_HOUSEKEEPING_H_

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/common/sql/lease.h"
#include "services/ingestion/domain/labelling_store.h"
#include "services/ingestion/domain/retention_service.h"
#include "services/ingestion/transport/upload_metrics.h"

namespace fieldloop::ingestion {

// A thread that deletes what retention lets go, once an hour, and blobs that nothing needs, under a
// lease, so that of N replicas one does it. Each minute it also counts what waits for a label.
class Housekeeping {
 public:
  // Starts the thread. All must outlive this object.
  Housekeeping(LeaseTable& leases, absl::Duration lease_time, RetentionService& retention,
               LabellingStore& labelling, UploadMetrics& metrics, const Clock& clock);
  // Stops it, and gives the lease back.
  ~Housekeeping();
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

 private:
  void Run();
  void Turn();
  void CountBacklog();
  // Renews the lease. False when it is another's, or when stopping.
  bool GoOn();

  LeaseTable& leases_;
  const absl::Duration lease_time_;
  RetentionService& retention_;
  LabellingStore& labelling_;
  UploadMetrics& metrics_;
  const Clock& clock_;
  absl::Time renewed_ = absl::InfinitePast();
  absl::Time applied_ = absl::InfinitePast();
  absl::Time searched_ = absl::InfinitePast();
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;  // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_APP_HOUSEKEEPING_H_
