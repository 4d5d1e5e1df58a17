// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "fieldloop_agent/record.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/src/state_record.h"
#include "tests/agent/core/sim_flash.h"

namespace fieldloop::agent {
namespace {

class RecordTest : public ::testing::TestWithParam<Geometry> {
 protected:
  fl_status_t Save(const std::string& text) {
    return fl_record_save(&area_, 0, text.data(), text.size());
  }
  std::string Load() {
    char buffer[256];
    size_t size = 0;
    const fl_status_t status = fl_record_load(&area_, 0, buffer, sizeof buffer, &size);
    return status == FL_OK ? std::string(buffer, size) : fl_status_text(status);
  }

  Power power_;
  SimFlash flash_{power_, GetParam()};
  fl_flash_t area_ = flash_.Area();
};

TEST_P(RecordTest, LoadsWhatWasSavedLast) {
  EXPECT_EQ(Load(), "FL_ERR_NOT_FOUND");
  for (int i = 0; i < 5; ++i) {
    const std::string text = "record " + std::to_string(i);
    ASSERT_EQ(Save(text), FL_OK);
    EXPECT_EQ(Load(), text);
  }
}

TEST_P(RecordTest, APowerCutAtAnyByteLeavesTheOldRecordOrTheNewOne) {
  const std::string old_text(97, 'o');
  const std::string new_text(131, 'n');
  ASSERT_EQ(Save("older"), FL_OK);
  ASSERT_EQ(Save(old_text), FL_OK);
  const std::vector<uint8_t> before = flash_.bytes();
  const uint64_t steps_before = power_.steps_done;
  ASSERT_EQ(Save(new_text), FL_OK);
  const uint64_t steps = power_.steps_done - steps_before;
  ASSERT_GT(steps, 150u);

  int old_count = 0;
  for (uint64_t cut = 0; cut < steps; ++cut) {
    flash_.bytes() = before;
    power_.steps_left = cut;
    EXPECT_NE(Save(new_text), FL_OK);
    power_.Restore();
    const std::string loaded = Load();
    ASSERT_THAT(loaded, ::testing::AnyOf(old_text, new_text)) << "cut after " << cut;
    old_count += loaded == old_text ? 1 : 0;
    // And what is saved next is found, whatever the cut left.
    ASSERT_EQ(Save("next"), FL_OK);
    ASSERT_EQ(Load(), "next") << "cut after " << cut;
  }
  EXPECT_GT(old_count, 0);
}

TEST_P(RecordTest, AReadThatFailsOnceDoesNotBringTheOlderRecordBack) {
  ASSERT_EQ(Save("old"), FL_OK);
  ASSERT_EQ(Save("new"), FL_OK);
  for (int failures = 1; failures <= 2; ++failures) {
    flash_.FailReads(failures);
    EXPECT_EQ(Load(), "new");
  }
}

TEST_P(RecordTest, OfASectorThatCannotBeReadTheOtherCopyCountsAndIsNeverOverwritten) {
  ASSERT_EQ(Save("old"), FL_OK);
  ASSERT_EQ(Save("new"), FL_OK);
  const std::vector<uint8_t> before = flash_.bytes();
  for (uint32_t sector = 0; sector < 2; ++sector) {
    flash_.bytes() = before;
    flash_.KillSector(sector);
    const std::string other = sector == 0 ? "new" : "old";
    EXPECT_EQ(Load(), other);
    EXPECT_EQ(Save("next"), FL_ERR_IO);
    EXPECT_EQ(Load(), other);
  }
}

TEST_P(RecordTest, WhatCannotBeReadIsNotReplacedWhenThereIsNoOtherCopy) {
  ASSERT_EQ(Save("old"), FL_OK);
  ASSERT_EQ(Save("new"), FL_OK);
  flash_.bytes()[FL_RECORD_HEADER_SIZE] ^= 0x10;
  flash_.KillSector(1);
  const std::vector<uint8_t> before = flash_.bytes();
  EXPECT_EQ(Load(), "FL_ERR_IO");
  EXPECT_EQ(Save("next"), FL_ERR_IO);
  EXPECT_EQ(flash_.bytes(), before);
  flash_.KillRange(0, 0);
  EXPECT_EQ(Load(), "new");
}

TEST_P(RecordTest, ACutInTheFirstSaveThatLeavesNothingToReadUntilAnEraseIsMended) {
  flash_.KillSector(0, true);
  EXPECT_EQ(Load(), "FL_ERR_NOT_FOUND")
      << "the other sector was never used, so there was no record";
  EXPECT_EQ(Save("first"), FL_OK);
  EXPECT_EQ(Load(), "first");
}

TEST_P(RecordTest, AFlippedBitIsNoticed) {
  ASSERT_EQ(Save("old"), FL_OK);
  ASSERT_EQ(Save("new"), FL_OK);
  flash_.bytes()[GetParam().sector_size + FL_RECORD_HEADER_SIZE] ^= 0x10;
  EXPECT_EQ(Load(), "old");
}

TEST_P(RecordTest, AProgramThatDoesNothingIsNoticed) {
  ASSERT_EQ(Save("old"), FL_OK);
  flash_.IgnorePrograms(true);
  EXPECT_EQ(Save("new"), FL_ERR_IO);
  EXPECT_EQ(Load(), "old");
}

TEST_P(RecordTest, ARecordLargerThanASectorIsRefused) {
  EXPECT_EQ(Save(std::string(GetParam().sector_size, 'x')), FL_ERR_NO_SPACE);
}

// Flash behind a cache whose power fails in a sync. Everything of before has reached the flash
// then, but for what was done to one range.
struct Cache {
  Cache(SimFlash& behind, uint32_t kept_at, uint32_t kept_size)
      : flash(behind), inner(behind.Area()), at(kept_at), size(kept_size), durable(behind.bytes()) {
    area = inner;
    area.context = this;
    area.read = [](void* context, uint32_t offset, void* dst, size_t count) {
      const fl_flash_t& to = static_cast<Cache*>(context)->inner;
      return to.read(to.context, offset, dst, count);
    };
    area.program = [](void* context, uint32_t offset, const void* src, size_t count) {
      const fl_flash_t& to = static_cast<Cache*>(context)->inner;
      return to.program(to.context, offset, src, count);
    };
    area.erase = [](void* context, uint32_t offset) {
      const fl_flash_t& to = static_cast<Cache*>(context)->inner;
      return to.erase(to.context, offset);
    };
    area.sync = [](void* context) { return static_cast<Cache*>(context)->Sync(); };
  }
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  fl_status_t Sync() {
    if (syncs_left-- > 0) {
      durable = flash.bytes();
      return FL_OK;
    }
    std::memcpy(flash.bytes().data() + at, durable.data() + at, size);
    return FL_ERR_IO;
  }

  SimFlash& flash;
  const fl_flash_t inner;
  const uint32_t at;
  const uint32_t size;
  fl_flash_t area;
  std::vector<uint8_t> durable;
  int syncs_left = 0;
};

TEST_P(RecordTest, TheSealOfTheRecordBeforeDoesNotSealOneThatACutLeftUnfinished) {
  ASSERT_EQ(Save("older"), FL_OK);
  ASSERT_EQ(Save("old  "), FL_OK);
  const std::vector<uint8_t> before = flash_.bytes();
  const uint32_t unit = GetParam().program_size;
  const uint32_t seal_at = FL_RECORD_HEADER_SIZE + (5 + unit - 1) / unit * unit;
  ASSERT_NE(before[seal_at], GetParam().erased_value);
  fl_status_t status = FL_ERR_IO;
  for (int syncs = 0; status != FL_OK; ++syncs) {
    ASSERT_LT(syncs, 10);
    flash_.bytes() = before;
    Cache cache(flash_, seal_at, std::max(unit, 4u));
    cache.syncs_left = syncs;
    status = fl_record_save(&cache.area, 0, "new  ", 5);
    EXPECT_EQ(Load(), status == FL_OK ? "new  " : "old  ") << "cut in sync " << syncs;
  }
}

INSTANTIATE_TEST_SUITE_P(Geometries, RecordTest,
                         ::testing::Values(Geometry{"Byte", 512, 256, 1, 0xff},
                                           Geometry{"Unit8", 1024, 512, 8, 0xff},
                                           Geometry{"Unit32", 4096, 2048, 32, 0xff},
                                           Geometry{"ErasedZero", 1024, 512, 4, 0x00}),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

class StateRecordTest : public ::testing::Test {
 protected:
  std::vector<uint8_t> Body() {
    std::vector<uint8_t> body(1024);
    size_t size = 0;
    EXPECT_EQ(fl_record_load(&area_, 0, body.data(), body.size(), &size), FL_OK);
    body.resize(size);
    return body;
  }
  fl_status_t LoadBody(const std::vector<uint8_t>& body) {
    EXPECT_EQ(fl_record_save(&area_, 0, body.data(), body.size()), FL_OK);
    fl_agent_t agent = {};
    return fl_state_load(&area_, &agent);
  }

  Power power_;
  SimFlash flash_{power_, Geometry{"State", 4 * 1280, 1280, 8, 0xff}};
  fl_flash_t area_ = flash_.Area();
  fl_agent_t agent_ = {};
};

TEST_F(StateRecordTest, WhatIsSavedIsLoaded) {
  ASSERT_EQ(fl_state_load(&area_, &agent_), FL_OK) << "a device that has none yet";
  EXPECT_EQ(agent_.kept.sequence_limit, 1u);
  agent_.state.phase = FL_PHASE_TRIAL;
  agent_.state.target.named = 7;
  agent_.state.target.install = 5;
  agent_.state.target.done = 4;
  agent_.state.target.boots = 2;
  agent_.kept.ask_again_ms = 1ull << 40;
  agent_.kept.active[FL_KIND_CONFIGURATION].slot = 1;
  agent_.state.settings.random_share = 0.75F;
  std::memcpy(agent_.kept.release.rollout.id, "rollout", 8);
  ASSERT_EQ(fl_state_save(&area_, &agent_), FL_OK);
  fl_agent_t loaded = {};
  ASSERT_EQ(fl_state_load(&area_, &loaded), FL_OK);
  EXPECT_EQ(loaded.state.target.install, 5);
  EXPECT_EQ(loaded.state.target.boots, 2);
  EXPECT_EQ(loaded.kept.ask_again_ms, 1ull << 40);
  EXPECT_EQ(loaded.kept.active[FL_KIND_CONFIGURATION].slot, 1);
  EXPECT_EQ(loaded.kept.active[FL_KIND_MODEL].slot, FL_SLOT_NONE);
  EXPECT_EQ(loaded.state.settings.random_share, 0.75F);
  EXPECT_STREQ(loaded.kept.release.rollout.id, "rollout");
}

TEST_F(StateRecordTest, ARecordOfAnotherFormatOrCutShortIsNotTakenForAFreshDevice) {
  ASSERT_EQ(fl_state_load(&area_, &agent_), FL_OK);
  ASSERT_EQ(fl_state_save(&area_, &agent_), FL_OK);
  const std::vector<uint8_t> body = Body();
  std::vector<uint8_t> changed = body;
  changed[0] = 1;
  EXPECT_EQ(LoadBody(changed), FL_ERR_CORRUPT);
  for (size_t size = 0; size < body.size(); size += 7) {
    EXPECT_EQ(LoadBody(std::vector<uint8_t>(body.begin(), body.begin() + static_cast<long>(size))),
              FL_ERR_CORRUPT);
  }
  EXPECT_EQ(LoadBody(body), FL_OK);
}

TEST_F(StateRecordTest, ARecordThatContradictsItselfIsRefused) {
  const auto refused = [&](const std::function<void(fl_agent_t&)>& change) {
    fl_agent_t agent = {};
    agent.state.target.named = agent.state.target.install = 1;
    change(agent);
    EXPECT_EQ(fl_state_save(&area_, &agent), FL_OK);
    fl_agent_t loaded = {};
    return fl_state_load(&area_, &loaded) == FL_ERR_CORRUPT;
  };
  EXPECT_FALSE(refused([](fl_agent_t& s) { s.state.phase = FL_PHASE_TRIAL; }));
  EXPECT_TRUE(refused([](fl_agent_t& s) { s.state.phase = 5; }));
  EXPECT_TRUE(refused([](fl_agent_t& s) { s.kept.active[FL_KIND_MODEL].slot = 2; }));
  EXPECT_TRUE(refused([](fl_agent_t& s) { s.state.target.named = 9; }));
  EXPECT_TRUE(refused([](fl_agent_t& s) { s.state.target.install = 2; }));
  EXPECT_TRUE(refused([](fl_agent_t& s) { s.state.target.done = 2; }));
  EXPECT_TRUE(refused([](fl_agent_t& s) {
    s.state.phase = FL_PHASE_DOWNLOADED;
    s.state.target.install = 0;
  }));
}

TEST_F(StateRecordTest, TheOldestRefusedSetGivesWay) {
  fl_agent_t agent = {};
  uint8_t name[FL_REFUSED_BYTES] = {0};
  for (uint8_t i = 0; i <= FIELDLOOP_AGENT_REFUSED_MAX; ++i) {
    name[0] = i;
    fl_state_refuse(&agent, name);
    fl_state_refuse(&agent, name);
  }
  EXPECT_EQ(agent.state.refused_count, FIELDLOOP_AGENT_REFUSED_MAX);
  EXPECT_TRUE(fl_state_is_refused(&agent, name));
  name[0] = 1;
  EXPECT_TRUE(fl_state_is_refused(&agent, name));
  name[0] = 0;
  EXPECT_FALSE(fl_state_is_refused(&agent, name));
}

}  // namespace
}  // namespace fieldloop::agent
