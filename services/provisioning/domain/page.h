// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PAGE_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PAGE_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "services/common/resource/resource_name.h"

namespace fieldloop::provisioning {

template <typename T>
struct Page {
  std::vector<T> rows;
  std::string next_page_token;  // Empty on the last page, and only there.
};

// Makes a page of at most `size` of `rows`, which were read with one more than that: the extra row
// tells that a next page exists. `key_of` gives the key that the next page starts after.
template <typename T, typename KeyOf>
Page<T> CutPage(std::vector<T> rows, int size, KeyOf key_of) {
  Page<T> page{.rows = std::move(rows), .next_page_token = ""};
  if (page.rows.size() > static_cast<std::size_t>(size)) {
    page.rows.erase(page.rows.begin() + size, page.rows.end());
    page.next_page_token = EncodePageToken(key_of(page.rows.back()));
  }
  return page;
}

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PAGE_H_
