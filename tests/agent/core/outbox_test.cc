// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "fieldloop_agent/outbox.h"

#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent/core/sim_flash.h"

namespace fieldloop::agent {
namespace {

class OutboxTest : public ::testing::TestWithParam<Geometry> {
 protected:
  void SetUp() override { Mount(); }

  void Mount() { ASSERT_EQ(fl_outbox_mount(&outbox_, &area_), FL_OK); }

  // Content that tells entries apart.
  static std::string Content(uint64_t sequence, size_t size) {
    std::string text = std::to_string(sequence) + ":";
    text.resize(size, static_cast<char>('a' + sequence % 26));
    return text;
  }

  fl_status_t Append(fl_entry_kind_t kind, uint64_t sequence, size_t size = 60) {
    const std::string text = Content(sequence, size);
    const fl_part_t parts[] = {{text.data(), 5}, {text.data() + 5, text.size() - 5}};
    return fl_outbox_append(&outbox_, kind, sequence, parts, 2);
  }

  std::string Read(const fl_entry_t& entry) {
    std::string text(entry.size, '\0');
    EXPECT_EQ(fl_outbox_read(&outbox_, &entry, 0, text.data(), text.size()), FL_OK);
    return text;
  }

  // Takes everything out, in the order of sending.
  std::vector<uint64_t> Drain() {
    std::vector<uint64_t> order;
    fl_entry_t entry;
    while (fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry) == FL_OK) {
      EXPECT_EQ(Read(entry), Content(entry.sequence, entry.size));
      order.push_back(entry.sequence);
      EXPECT_EQ(fl_outbox_done(&outbox_, entry.sequence), FL_OK);
    }
    return order;
  }

  Power power_;
  SimFlash flash_{power_, GetParam()};
  fl_flash_t area_ = flash_.Area();
  fl_outbox_t outbox_;
};

TEST_P(OutboxTest, GivesTheMostImportantKindFirstAndOfItTheOldest) {
  ASSERT_EQ(Append(FL_ENTRY_CHOSEN, 1), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_RANDOM, 2), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 3), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 4), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_REPORT, 5), FL_OK);
  Mount();
  EXPECT_EQ(outbox_.live, 5u);
  EXPECT_THAT(Drain(), ::testing::ElementsAre(5, 3, 4, 2, 1));
  Mount();
  EXPECT_EQ(outbox_.live, 0u);
}

TEST_P(OutboxTest, FindsTheWholeOneOfTwoEntriesOfASequence) {
  ASSERT_EQ(Append(FL_ENTRY_REPORT, 5), FL_OK);
  fl_entry_t entry;
  ASSERT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry), FL_OK);
  flash_.bytes()[entry.offset] ^= 1;
  EXPECT_EQ(fl_outbox_find(&outbox_, 5), FL_ERR_NOT_FOUND);
  ASSERT_EQ(Append(FL_ENTRY_REPORT, 5), FL_OK);
  EXPECT_EQ(fl_outbox_find(&outbox_, 5), FL_OK);
  EXPECT_THAT(Drain(), ::testing::ElementsAre(5));
}

TEST_P(OutboxTest, LeavesOutKindsOfLessImportanceWhenAsked) {
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 1), FL_OK);
  fl_entry_t entry;
  EXPECT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_REPORT, &entry), FL_ERR_NOT_FOUND);
  EXPECT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_SKETCH, &entry), FL_OK);
}

TEST_P(OutboxTest, LosesNothingWhileDoneEntriesMakeRoom) {
  std::set<uint64_t> waiting;
  uint64_t sequence = 1;
  for (int round = 0; round < 400; ++round) {
    ASSERT_EQ(Append(round % 3 == 0 ? FL_ENTRY_SKETCH : FL_ENTRY_RANDOM, sequence), FL_OK);
    waiting.insert(sequence++);
    if (waiting.size() > 4) {
      fl_entry_t entry;
      ASSERT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry), FL_OK);
      ASSERT_EQ(fl_outbox_done(&outbox_, entry.sequence), FL_OK);
      waiting.erase(entry.sequence);
    }
    if (round % 37 == 0) Mount();
  }
  EXPECT_EQ(outbox_.dropped, 0u);
  const std::vector<uint64_t> rest = Drain();
  EXPECT_EQ(std::set<uint64_t>(rest.begin(), rest.end()), waiting);
}

TEST_P(OutboxTest, DropsUncertainSamplesFirstThenRandomThenSketchesAndNeverReportsForThem) {
  ASSERT_EQ(Append(FL_ENTRY_REPORT, 1), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 2), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_RANDOM, 3), FL_OK);
  uint64_t sequence = 4;
  // Uncertain ones fill it until they drop each other.
  while (outbox_.dropped == 0) ASSERT_EQ(Append(FL_ENTRY_CHOSEN, sequence++), FL_OK);
  EXPECT_EQ(fl_outbox_find(&outbox_, 4), FL_ERR_NOT_FOUND) << "the oldest goes first";
  EXPECT_EQ(fl_outbox_find(&outbox_, 1), FL_OK);
  EXPECT_EQ(fl_outbox_find(&outbox_, 2), FL_OK);
  EXPECT_EQ(fl_outbox_find(&outbox_, 3), FL_OK);

  // Random ones drop them all before the first random one goes.
  while (fl_outbox_find(&outbox_, 3) == FL_OK)
    ASSERT_EQ(Append(FL_ENTRY_RANDOM, sequence++), FL_OK);
  fl_entry_t entry;
  for (uint64_t s = 4; s < sequence; ++s) {
    if (fl_outbox_find(&outbox_, s) == FL_OK) {
      ASSERT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry), FL_OK);
      EXPECT_LT(entry.kind, FL_ENTRY_CHOSEN);
    }
  }
  // Sketches drop the random ones, then each other, but not the report.
  for (int i = 0; i < 300; ++i) ASSERT_EQ(Append(FL_ENTRY_SKETCH, sequence++), FL_OK);
  EXPECT_EQ(fl_outbox_find(&outbox_, 2), FL_ERR_NOT_FOUND);
  EXPECT_EQ(fl_outbox_find(&outbox_, 1), FL_OK);

  // With nothing but reports in it, a sample finds no room.
  for (int i = 0; i < 300; ++i) ASSERT_EQ(Append(FL_ENTRY_REPORT, sequence++), FL_OK);
  const uint32_t dropped = outbox_.dropped;
  EXPECT_EQ(Append(FL_ENTRY_RANDOM, sequence, GetParam().sector_size / 2), FL_ERR_NO_SPACE);
  EXPECT_EQ(outbox_.dropped, dropped + 1);
}

TEST_P(OutboxTest, AnEntryLargerThanASectorIsDroppedAndCounted) {
  EXPECT_EQ(Append(FL_ENTRY_RANDOM, 1, GetParam().sector_size), FL_ERR_NO_SPACE);
  EXPECT_EQ(outbox_.dropped, 1u);
}

TEST_P(OutboxTest, AFlippedBitInAnEntryDropsThatEntryOnly) {
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 1), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 2), FL_OK);
  fl_entry_t entry;
  ASSERT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_SKETCH, &entry), FL_OK);
  flash_.bytes()[entry.offset + 10] ^= 1;
  Mount();
  EXPECT_THAT(Drain(), ::testing::ElementsAre(2));
}

// A life of the outbox with appends, marks and moved sectors; returns what must be there: what was
// appended whole and not marked, and what may be there: what was being appended or marked.
struct Life {
  std::map<uint64_t, int> certain;
  std::set<uint64_t> possible;
};

TEST_P(OutboxTest, APowerCutAtAnyByteLosesNoEntryAndInventsNone) {
  const auto live = [this](Life& life) {
    uint64_t sequence = 1;
    for (int round = 0; round < 60; ++round) {
      life.possible.insert(sequence);
      if (Append(FL_ENTRY_SKETCH, sequence) != FL_OK) return;
      life.certain[sequence] = 1;
      ++sequence;
      // Every fifth entry stays: they are what is copied from sector to sector.
      const uint64_t done = sequence - 1;
      if (done % 5 != 0) {
        life.certain.erase(done);
        if (fl_outbox_done(&outbox_, done) != FL_OK) return;
        life.possible.erase(done);
      } else if (done > 20) {
        life.certain.erase(done - 20);
        if (fl_outbox_done(&outbox_, done - 20) != FL_OK) return;
        life.possible.erase(done - 20);
      }
    }
  };
  Life whole;
  const uint64_t before = power_.steps_done;
  live(whole);
  const uint64_t steps = power_.steps_done - before;
  ASSERT_EQ(outbox_.dropped, 0u);

  const std::vector<uint8_t> blank(GetParam().size, GetParam().erased_value);
  for (uint64_t cut = 0; cut < steps; cut += 3) {
    flash_.bytes() = blank;
    Mount();
    power_.steps_left = cut;
    Life life;
    live(life);
    power_.Restore();
    // The power fails again while the cut is mended.
    power_.steps_left = cut % 23;
    (void)fl_outbox_mount(&outbox_, &area_);
    power_.Restore();
    Mount();
    for (const auto& [sequence, unused] : life.certain) {
      ASSERT_EQ(fl_outbox_find(&outbox_, sequence), FL_OK)
          << sequence << " is lost, cut after " << cut;
    }
    // What came back must be usable, and appending must go on.
    ASSERT_EQ(Append(FL_ENTRY_SKETCH, 1000), FL_OK) << "cut after " << cut;
    std::set<uint64_t> found;
    for (const uint64_t sequence : Drain()) {
      ASSERT_TRUE(sequence == 1000 || life.possible.count(sequence) == 1)
          << sequence << " came back, cut after " << cut;
      ASSERT_TRUE(found.insert(sequence).second)
          << sequence << " is there twice, cut after " << cut;
    }
    ASSERT_EQ(found.count(1000), 1u);
  }
}

// Flash behind a cache: counts what a power cut could still leave in any state.
struct CachedArea {
  fl_flash_t real;
  int unsettled = 0;
  int headers = 0;
  int early_headers = 0;

  fl_flash_t Area() {
    fl_flash_t area = real;
    area.context = this;
    area.read = [](void* context, uint32_t offset, void* dst, size_t size) {
      const fl_flash_t& below = static_cast<CachedArea*>(context)->real;
      return below.read(below.context, offset, dst, size);
    };
    area.program = [](void* context, uint32_t offset, const void* src, size_t size) {
      auto* self = static_cast<CachedArea*>(context);
      if (size >= 4 && std::string(static_cast<const char*>(src), 4) == "FLE1") {
        ++self->headers;
        self->early_headers += self->unsettled > 0 ? 1 : 0;
      }
      ++self->unsettled;
      return self->real.program(self->real.context, offset, src, size);
    };
    area.erase = [](void* context, uint32_t offset) {
      auto* self = static_cast<CachedArea*>(context);
      ++self->unsettled;
      return self->real.erase(self->real.context, offset);
    };
    area.sync = [](void* context) {
      static_cast<CachedArea*>(context)->unsettled = 0;
      return FL_OK;
    };
    return area;
  }
};

TEST_P(OutboxTest, AHeaderIsWrittenWhenItsContentIsDurableAlsoThatOfACopy) {
  CachedArea cached{flash_.Area()};
  area_ = cached.Area();
  Mount();
  int appended = 0;
  for (uint64_t sequence = 1; sequence < 150; ++sequence, ++appended) {
    ASSERT_EQ(Append(FL_ENTRY_SKETCH, sequence), FL_OK);
    // Every fifth entry stays.
    const uint64_t done = sequence % 5 != 0 ? sequence : 0;
    if (done != 0) {
      ASSERT_EQ(fl_outbox_done(&outbox_, done), FL_OK);
    }
  }
  EXPECT_GT(cached.headers, appended) << "some were copied";
  EXPECT_EQ(cached.early_headers, 0);
}

TEST_P(OutboxTest, ASectorThatCannotBeReadIsLeftOutAndTheOthersAreUsed) {
  for (uint32_t sector = 0; sector < GetParam().size / GetParam().sector_size; ++sector) {
    flash_.KillSector(sector);
    Mount();
    for (uint64_t sequence = 100; sequence < 200; ++sequence) {
      ASSERT_EQ(Append(FL_ENTRY_SKETCH, sequence), FL_OK) << "sector " << sector;
      ASSERT_EQ(fl_outbox_find(&outbox_, sequence), FL_OK);
      ASSERT_EQ(fl_outbox_done(&outbox_, sequence), FL_OK);
    }
    EXPECT_EQ(outbox_.dropped, 0u);
  }
}

TEST_P(OutboxTest, ASectorThatACutLeftUnreadableUntilItIsErasedIsUsedAgain) {
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 1), FL_OK);
  const uint32_t head = outbox_.head;
  const uint32_t next = (head + 1) % outbox_.sector_count;
  flash_.KillSector(next, true);
  Mount();
  EXPECT_EQ(outbox_.live, 1u);
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 2), FL_OK);
  EXPECT_EQ(outbox_.head, next);
  EXPECT_THAT(Drain(), ::testing::ElementsAre(1, 2));
}

TEST_P(OutboxTest, WithoutTwoSectorsThatCanBeReadUplinksAreRefusedAndCounted) {
  flash_.KillRange(GetParam().sector_size, GetParam().size - GetParam().sector_size);
  Mount();
  EXPECT_EQ(Append(FL_ENTRY_REPORT, 1), FL_ERR_IO);
  EXPECT_EQ(outbox_.dropped, 1u);
  EXPECT_THAT(Drain(), ::testing::IsEmpty());
  flash_.KillRange(0, GetParam().size);
  Mount();
  EXPECT_EQ(Append(FL_ENTRY_REPORT, 2), FL_ERR_IO);
}

TEST_P(OutboxTest, AnEntryWhoseContentCannotBeReadIsDroppedAndCountedAndTheNextIsSent) {
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 1), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 2), FL_OK);
  fl_entry_t entry;
  ASSERT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry), FL_OK);
  flash_.KillRange(entry.offset, 1);
  EXPECT_THAT(Drain(), ::testing::ElementsAre(2));
  EXPECT_EQ(outbox_.dropped, 1u);
}

TEST_P(OutboxTest, AMarkThatACutLeftUnreadableIsOneAndHidesNothingBehindIt) {
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 1), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 2), FL_OK);
  fl_entry_t entry;
  ASSERT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry), FL_OK);
  flash_.KillRange(entry.offset - 1, 1);
  Mount();
  EXPECT_THAT(Drain(), ::testing::ElementsAre(2));
}

TEST_P(OutboxTest, WhatCannotBeReadIsNotCopiedAndCountedAndTheRestIsKept) {
  uint64_t sequence = 1;
  ASSERT_EQ(Append(FL_ENTRY_REPORT, sequence++), FL_OK);
  ASSERT_EQ(Append(FL_ENTRY_REPORT, sequence++), FL_OK);
  fl_entry_t entry;
  ASSERT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry), FL_OK);
  ASSERT_EQ(entry.sequence, 1u);
  flash_.KillRange(entry.offset, 1);
  // Little waits in this sector, and much in the next ones: it is the one that is copied.
  const uint32_t first = outbox_.head;
  for (; outbox_.head == first; ++sequence) {
    ASSERT_EQ(Append(FL_ENTRY_SKETCH, sequence), FL_OK);
    if (outbox_.head == first) {
      ASSERT_EQ(fl_outbox_done(&outbox_, sequence), FL_OK);
    }
  }
  const uint64_t waiting = sequence - 1;
  while (outbox_.dropped == 0) ASSERT_EQ(Append(FL_ENTRY_SKETCH, sequence++), FL_OK);
  EXPECT_EQ(outbox_.dropped, 1u);
  EXPECT_EQ(fl_outbox_find(&outbox_, 2), FL_OK);
  const std::vector<uint64_t> rest = Drain();
  ASSERT_EQ(rest.size(), 1 + sequence - waiting);
  EXPECT_EQ(rest.front(), 2u);
}

TEST_P(OutboxTest, FlashThatTakesNoMarksEndsNoCallInALoop) {
  ASSERT_EQ(Append(FL_ENTRY_SKETCH, 1), FL_OK);
  fl_entry_t entry;
  ASSERT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry), FL_OK);
  flash_.bytes()[entry.offset] ^= 1;
  flash_.IgnorePrograms(true);
  EXPECT_EQ(fl_outbox_next(&outbox_, FL_ENTRY_CHOSEN, &entry), FL_ERR_IO);
}

INSTANTIATE_TEST_SUITE_P(Geometries, OutboxTest,
                         ::testing::Values(Geometry{"Byte", 3072, 512, 1, 0xff},
                                           Geometry{"ThreeSectors", 3072, 1024, 8, 0xff},
                                           Geometry{"Unit32", 8192, 1024, 32, 0xff},
                                           Geometry{"ErasedZero", 4096, 1024, 4, 0x00}),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

}  // namespace
}  // namespace fieldloop::agent
