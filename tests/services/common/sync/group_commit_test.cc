// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sync/group_commit.h"

#include <algorithm>
#include <cstddef>
#include <latch>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace fieldloop {
namespace {

struct Item {
  int number = 0;
  int result = 0;
};

TEST(GroupCommitTest, ASingleItemDoesNotWaitForCompany) {
  GroupCommit<Item> group(8, [](const std::vector<Item*>& items) {
    ASSERT_EQ(items.size(), 1U);
    items.front()->result = items.front()->number + 1;
  });
  Item item{.number = 41};
  group.Run(item);
  EXPECT_EQ(item.result, 42);
}

TEST(GroupCommitTest, WhatComesDuringAStepSharesTheNextUpToTheLimit) {
  constexpr int kItems = 21;
  constexpr std::size_t kLimit = 8;
  std::latch first_begun(1);
  std::latch all_wait(1);
  std::vector<std::size_t> sizes;  // Guarded by the group: one step at a time.
  GroupCommit<Item> group(kLimit, [&](const std::vector<Item*>& items) {
    sizes.push_back(items.size());
    if (sizes.size() == 1) {
      first_begun.count_down();
      all_wait.wait();
    }
    for (Item* item : items) {
      item->result = item->number;
    }
  });
  std::vector<Item> items(kItems);
  std::vector<std::thread> threads;
  const auto run = [&](std::size_t i) {
    items[i].number = static_cast<int>(i) + 1;
    group.Run(items[i]);
  };
  threads.emplace_back(run, 0);
  first_begun.wait();
  for (std::size_t i = 1; i < kItems; ++i) {
    threads.emplace_back(run, i);
  }
  while (group.waiting() < kItems - 1) {
    std::this_thread::yield();
  }
  all_wait.count_down();
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const Item& item : items) {
    EXPECT_EQ(item.result, item.number);
  }
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1, 8, 8, 4}));
}

TEST(GroupCommitTest, ManyThreadsAllComeThroughAndStepsDoNotOverlap) {
  int in_step = 0;
  int total = 0;
  GroupCommit<Item> group(3, [&](const std::vector<Item*>& items) {
    EXPECT_EQ(++in_step, 1);
    for (Item* item : items) {
      ++item->result;
      ++total;
    }
    --in_step;
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 500; ++k) {
        Item item;
        group.Run(item);
        EXPECT_EQ(item.result, 1);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(total, 4000);
}

}  // namespace
}  // namespace fieldloop
