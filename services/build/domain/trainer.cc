// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/trainer.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace fieldloop::build {

TrainerSet::TrainerSet(Trainer& built_in, std::vector<Trainer*> others)
    : trainers_(std::move(others)) {
  std::sort(trainers_.begin(), trainers_.end(),
            [](const Trainer* a, const Trainer* b) { return a->id() < b->id(); });
  trainers_.insert(trainers_.begin(), &built_in);
}

absl::StatusOr<Trainer*> TrainerSet::Find(absl::string_view field, absl::string_view id) const {
  for (Trainer* trainer : trainers_) {
    if (id.empty() || trainer->id() == id) {
      return trainer;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": got \"", absl::CHexEscape(id), "\", want one of ",
                   absl::StrJoin(trainers_, ", ", [](std::string* out, const Trainer* trainer) {
                     absl::StrAppend(out, trainer->id());
                   })));
}

std::vector<TrainerIdentity> TrainerSet::List() const {
  std::vector<TrainerIdentity> identities;
  for (Trainer* trainer : trainers_) {
    absl::StatusOr<TrainerIdentity> identity = trainer->Identify();
    identities.push_back(identity.ok() ? *std::move(identity)
                                       : TrainerIdentity{.id = std::string(trainer->id()),
                                                         .digest = "",
                                                         .contract = trainer->contract()});
  }
  return identities;
}

}  // namespace fieldloop::build
