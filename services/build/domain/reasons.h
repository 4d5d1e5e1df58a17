// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_REASONS_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_REASONS_H_

namespace fieldloop::build {

// Reasons of FAILED_PRECONDITION and RESOURCE_EXHAUSTED; part of the API.
inline constexpr char kBuildDone[] = "BUILD_DONE";
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kRootNotConfigured[] = "ROOT_NOT_CONFIGURED";
inline constexpr char kRootExpired[] = "ROOT_EXPIRED";
inline constexpr char kClassesDiffer[] = "CLASSES_DIFFER";
inline constexpr char kWindowsDiffer[] = "WINDOWS_DIFFER";

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_REASONS_H_
