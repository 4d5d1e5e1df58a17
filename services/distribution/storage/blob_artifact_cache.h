// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_BLOB_ARTIFACT_CACHE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_BLOB_ARTIFACT_CACHE_H_

#include <memory>

#include "services/common/blob/blob_store.h"
#include "services/distribution/domain/backends.h"

namespace fieldloop::distribution {

// Keeps artifacts in `blobs`, filled from `registry`. Both must outlive the cache.
std::unique_ptr<ArtifactCache> MakeBlobArtifactCache(BlobStore& blobs, ReleaseRegistry& registry);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_BLOB_ARTIFACT_CACHE_H_
