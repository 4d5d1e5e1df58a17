// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_AGREEMENT_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_AGREEMENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fieldloop::ingestion {

// What one labeller says a whole sample is.
struct Rating {
  std::string sample_id;
  std::string labeller;
  std::string label;

  friend bool operator==(const Rating&, const Rating&) = default;
};

struct PairAgreement {
  std::string first;
  std::string second;
  std::int64_t samples = 0;  // That both rated.
  double agreement = 0;      // Share with the same label.
  std::optional<double> kappa;
};

struct Agreement {
  std::int64_t samples = 0;  // With two ratings or more.
  std::optional<double> alpha;
  std::vector<PairAgreement> pairs;      // By name.
  std::vector<std::string> disagreeing;  // Ids, in the order of the ratings, at most 100.
};

// How far labellers agree. Each labeller rates a sample once at most; samples with one rating count
// for nothing.
//
// kappa = (p_o - p_e) / (1 - p_e), with p_o the share of samples on which the two agree and p_e the
// sum over labels of the product of the shares that each of the two gave it (Cohen 1960, "A
// coefficient of agreement for nominal scales"); nothing when p_e is 1.
//
// alpha = 1 - (n - 1) D_o / D_e for nominal data with missing values: a sample with m ratings adds
// 1 / (m - 1) to o_ck for each ordered pair of its ratings (c, k); D_o is the sum of o_ck with
// c != k, n_c the sum of o_ck over k, n the sum of all, D_e the sum of n_c n_k with c != k
// (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"); nothing when D_e is 0.
Agreement AgreementOf(const std::vector<Rating>& ratings);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_AGREEMENT_H_
