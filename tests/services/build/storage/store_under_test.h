// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_STORE_UNDER_TEST_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_STORE_UNDER_TEST_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "services/build/domain/artifact_store.h"
#include "services/build/domain/build_store.h"
#include "services/build/domain/impulse_store.h"
#include "services/build/domain/model_store.h"
#include "services/build/domain/release_store.h"
#include "services/build/domain/trainer_run_store.h"

namespace fieldloop::build {

// The stores of one backend, on one database.
class Stores {
 public:
  virtual ~Stores() = default;
  virtual ImpulseStore& impulses() = 0;
  virtual BuildStore& builds() = 0;
  virtual ModelStore& models() = 0;
  virtual ArtifactStore& artifacts() = 0;
  virtual ReleaseStore& releases() = 0;
  virtual TrainerRunStore& runs() = 0;
};

// A backend. It is ready when the suites of the *_contract.h files, instantiated with it, pass.
struct StoreUnderTest {
  std::string name;
  std::function<std::unique_ptr<Stores>()> make;  // Each call gives empty stores.
  friend void PrintTo(const StoreUnderTest& store, std::ostream* os) { *os << store.name; }
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_STORE_UNDER_TEST_H_
