// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_PAGE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {

template <typename T>
struct Page {
  std::vector<T> items;
  std::string next_page_token;  // Empty on the last page, and only there.
};

// Cuts `rows`, of which one more than `size` was asked for, to a page. `key` gives a row's key.
template <typename T, typename Key>
Page<T> MakePage(std::vector<T> rows, int size, Key key) {
  Page<T> page{.items = std::move(rows), .next_page_token = ""};
  if (page.items.size() > static_cast<std::size_t>(size)) {
    page.items.resize(static_cast<std::size_t>(size));
    page.next_page_token = EncodePageToken(absl::StrCat(key(page.items.back())));
  }
  return page;
}

// A page of rows that are numbered and listed newest first: `list(before, limit)` returns at most
// `limit` rows with numbers below `before`.
template <typename T, typename List, typename Key>
absl::StatusOr<Page<T>> ListNewestFirst(int page_size, absl::string_view page_token, List list,
                                        Key key) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string after, DecodePageToken(page_token));
  std::int64_t before = std::numeric_limits<std::int64_t>::max();
  if (!after.empty() && !absl::SimpleAtoi(after, &before)) {
    return absl::InvalidArgumentError(
        "page_token: want next_page_token of the page before, or nothing");
  }
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<T> rows, list(before, size + 1));
  return MakePage(std::move(rows), size, key);
}

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_PAGE_H_
