// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Sets of several components, the bootloader that has a mind of its own, and the application's
// consent.

#include <cstdio>
#include <string>

#include "tests/agent/core/device_harness.h"

namespace fieldloop::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr v1::ComponentKind kModel = v1::COMPONENT_KIND_MODEL;
constexpr v1::ComponentKind kFirmware = v1::COMPONENT_KIND_FIRMWARE;
constexpr v1::ComponentKind kConfiguration = v1::COMPONENT_KIND_CONFIGURATION;

std::string Image(const std::string& name) { return ModelBytes("firmware " + name, 2000); }
std::string Settings(const std::string& name) { return ModelBytes("settings " + name, 700); }

ComponentSet FullSet(const std::string& name) {
  return {{kModel, ModelBytes(name)}, {kFirmware, Image(name)}, {kConfiguration, Settings(name)}};
}

class ComponentsTest : public AgentTest {
 protected:
  std::set<std::string> Requested() const {
    std::set<std::string> digests;
    for (const v1::DeviceMessage& message : server_.received) {
      if (message.has_artifact_request()) digests.insert(message.artifact_request().digest());
    }
    return digests;
  }
  v1::StateReport LastState() const {
    v1::StateReport state;
    for (const v1::DeviceMessage& message : server_.received) {
      if (message.has_state_report()) state = message.state_report();
    }
    return state;
  }
  const v1::UpdateReport& Last() const { return server_.reports.back(); }
  bool Ended(v1::UpdatePhase phase) const {
    return !server_.reports.empty() && Last().phase() == phase && device_.agent->outbox.live == 0 &&
           !device_.rebooting;
  }
};

// --- Sets ---

TEST_F(ComponentsTest, ASetIsDownloadedAndSwitchedWholeWithOneRestart) {
  InstallSet(FullSet("one"), 3);
  EXPECT_EQ(device_.boots, 2);
  EXPECT_EQ(device_.bootloader.swap_count, 1);
  EXPECT_FALSE(device_.bootloader.on_trial) << "confirmed to the bootloader as well";
  EXPECT_THAT(server_.Phases(), ElementsAre(v1::UPDATE_PHASE_ACCEPTED, v1::UPDATE_PHASE_DOWNLOADED,
                                            v1::UPDATE_PHASE_TRIAL, v1::UPDATE_PHASE_CONFIRMED));
  device_.Run(1000);
  const v1::StateReport state = LastState();
  ASSERT_EQ(state.components_size(), 3);
  for (const v1::ComponentState& component : state.components()) {
    EXPECT_TRUE(component.confirmed());
    EXPECT_EQ(component.release_sequence(), 3u);
    EXPECT_EQ(component.active_digest(), Sha256(FullSet("one").at(component.kind())));
  }
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(5000);
  EXPECT_TRUE(RunsConfirmed(FullSet("one"))) << "and stays so";
}

TEST_F(ComponentsTest, OnTrialTheStateReportSaysWhatIsNotConfirmed) {
  InstallSet(FullSet("one"), 3);
  ComponentSet next = FullSet("one");
  next[kConfiguration] = Settings("two");
  Offer(next, 4);
  device_.classifies = false;
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  device_.Run(3000);
  const v1::StateReport state = LastState();
  for (const v1::ComponentState& component : state.components()) {
    EXPECT_EQ(component.confirmed(), component.kind() != kConfiguration);
    EXPECT_EQ(component.active_digest(), Sha256(next.at(component.kind())));
  }
}

TEST_F(ComponentsTest, ComponentsThatTheDeviceRunsAlreadyAreNotFetchedAgain) {
  InstallSet(FullSet("one"), 3);
  server_.received.clear();
  ComponentSet next = FullSet("one");
  next[kModel] = ModelBytes("two");
  InstallSet(next, 4);
  EXPECT_THAT(Requested(), ElementsAre(Sha256(ModelBytes("two"))));
  EXPECT_EQ(device_.bootloader.swap_count, 1);
  device_.Run(1000);
  const v1::StateReport state = LastState();
  for (const v1::ComponentState& component : state.components()) {
    EXPECT_EQ(component.release_sequence(), 4u) << "all of them are of the release";
  }
}

TEST_F(ComponentsTest, ADeviceWithoutAModelConfirmsByContactAlone) {
  InstallSet({{kConfiguration, Settings("one")}}, 3);
  EXPECT_FALSE(device_.agent->running.on);
  EXPECT_EQ(device_.configuration, Settings("one"));
}

TEST_F(ComponentsTest, AConfigurationThatTheApplicationRefusesIsRevertedAndTheSetNeverTriedAgain) {
  InstallSet(FullSet("one"), 3);
  ComponentSet bad = FullSet("one");
  bad[kConfiguration] = "BAD settings";
  server_.reports.clear();
  Offer(bad, 4);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_DECLINED);
  EXPECT_TRUE(RunsConfirmed(FullSet("one")));
  EXPECT_EQ(device_.configuration, Settings("one")) << "the application has the one before again";
  server_.reports.clear();
  Offer(bad, 5);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_FAILED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_REFUSED_BEFORE);
}

TEST_F(ComponentsTest, AFirstConfigurationThatIsRevertedLeavesTheApplicationItsDefaults) {
  InstallSet({{kModel, ModelBytes("one")}}, 3);
  Offer({{kModel, ModelBytes("BAD")}, {kConfiguration, Settings("two")}}, 4);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(device_.configuration, "");
  EXPECT_TRUE(RunsConfirmed({{kModel, ModelBytes("one")}}));
}

TEST_F(ComponentsTest, AnApplicationThatReadsItsConfigurationItselfNeedNotBeToldOfIt) {
  InstallSet(FullSet("one"), 3);
  device_.app().configuration_start = nullptr;
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_TRUE(device_.agent->running.configuration);
  EXPECT_EQ(device_.agent->state.phase, FL_PHASE_IDLE);
}

TEST_F(ComponentsTest, APartOfARevertedSetMayComeBackWithOthers) {
  InstallSet(FullSet("one"), 3);
  ComponentSet bad = FullSet("one");
  bad[kModel] = ModelBytes("BAD");
  bad[kConfiguration] = Settings("two");
  Offer(bad, 4);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  // The same result by a smaller release: refused.
  server_.reports.clear();
  bad.erase(kFirmware);
  Offer(bad, 5);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_FAILED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_REFUSED_BEFORE);
  // Its configuration with a model that works.
  ComponentSet good = FullSet("one");
  good[kConfiguration] = Settings("two");
  InstallSet(good, 6);
}

TEST_F(ComponentsTest, ADownloadGoesOnWithTheComponentThatIsMissing) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  Offer(FullSet("one"), 3);
  // The firmware is not there yet, the model is.
  server_.artifacts.erase(Sha256(Image("one")));
  device_.Run(5000);
  ASSERT_EQ(device_.agent->state.target.done, fl_kind_bit(FL_KIND_MODEL));
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.received.clear();
  Offer(FullSet("one"), 3);
  ASSERT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("one")); }));
  EXPECT_THAT(Requested(),
              ::testing::UnorderedElementsAre(Sha256(Image("one")), Sha256(Settings("one"))));
}

TEST_F(ComponentsTest, ALargeDownloadIsWrittenDownNowAndThenAndGoesOnFromThere) {
  const Geometry geometry = {"Large", 64 * 1024, 1024, 8, 0xff};
  SimFlash slots[2] = {{device_.power, geometry}, {device_.power, geometry}};
  for (int i = 0; i < 2; ++i) device_.port().slot[i] = slots[i].Area();
  const std::string model = ModelBytes("large", 45'000);
  device_.consent[FL_STEP_INSTALL] = 600'000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.OfferSet({{kModel, model}, {kConfiguration, Settings("one")}}, 3);
  ASSERT_TRUE(device_.RunUntil([&] { return device_.agent->state.target.written > 0; }));
  EXPECT_EQ(device_.agent->state.target.written,
            static_cast<uint32_t>(FIELDLOOP_AGENT_JOURNAL_STEP));
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.received.clear();
  ASSERT_TRUE(device_.RunUntil([&] { return device_.agent->state.phase == FL_PHASE_DOWNLOADED; }));
  for (const v1::DeviceMessage& message : server_.received) {
    if (!message.has_artifact_request()) continue;
    EXPECT_EQ(message.artifact_request().offset(),
              static_cast<uint32_t>(FIELDLOOP_AGENT_JOURNAL_STEP));
    break;
  }
  EXPECT_EQ(Requested().count(Sha256(Settings("one"))), 1u);
}

TEST_F(ComponentsTest, ADamagedConfigurationIsNoticedAndMended) {
  InstallSet(FullSet("one"), 3);
  device_.configuration_flash[device_.agent->kept.active[FL_KIND_CONFIGURATION].slot].bytes()[9] ^=
      1;
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_EQ(device_.configuration, "") << "its defaults, not other bytes";
  EXPECT_TRUE(device_.agent->running.on) << "the model is not to blame";
  server_.reports.clear();
  Offer(FullSet("one"), 3);
  EXPECT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("one")); }));
  EXPECT_EQ(device_.bootloader.swap_count, 1);
}

TEST_F(ComponentsTest, AFlippedBitOfAnInstalledComponentRevertsTheSet) {
  InstallSet(FullSet("one"), 3);
  for (const v1::ComponentKind kind : {kModel, kConfiguration}) {
    ComponentSet next = FullSet("one");
    next[kind] = ModelBytes("next" + std::to_string(kind), 900);
    device_.consent[FL_STEP_REBOOT] = 600'000;
    Offer(next, 4 + static_cast<uint64_t>(kind));
    ASSERT_TRUE(device_.Live([&] { return device_.agent->state.phase == FL_PHASE_TRIAL; }));
    const uint8_t active = device_.agent->kept.active[kind - 1].slot;
    (kind == kModel ? device_.slot_flash : device_.configuration_flash)[1 - active].bytes()[5] ^= 8;
    ASSERT_EQ(device_.Boot(), FL_OK);
    EXPECT_FALSE(device_.agent->running.on_trial);
    ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
    EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_STORAGE);
    EXPECT_TRUE(RunsConfirmed(FullSet("one")));
    server_.offer = nullptr;
  }
}

TEST_F(ComponentsTest, AComponentLargerThanItsSlotRefusesTheSet) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  for (const v1::ComponentKind kind : {kFirmware, kConfiguration}) {
    ComponentSet set = FullSet("one");
    set[kind] = std::string(Device::SlotGeometry().size + 1, 'x');
    server_.reports.clear();
    Offer(set, 3 + static_cast<uint64_t>(kind));
    ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_FAILED); }));
    EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_TOO_LARGE);
  }
  EXPECT_THAT(Requested(), IsEmpty());
}

TEST_F(ComponentsTest, AnAreaOfThePortThatCannotBeUsedIsRefusedAtTheStart) {
  const fl_flash_t good = device_.port().configuration[0];
  device_.port().configuration[1] = {};
  EXPECT_EQ(device_.Boot(), FL_ERR_ARG) << "one slot only";
  device_.port().configuration[0] = {};
  device_.port().configuration[1] = good;
  EXPECT_EQ(device_.Boot(), FL_ERR_ARG) << "the other one only";
  device_.port().configuration[1] = {};
  EXPECT_EQ(device_.Boot(), FL_OK);
  device_.port().firmware.slot.program_size = 3;
  EXPECT_EQ(device_.Boot(), FL_ERR_ARG);
}

TEST_F(ComponentsTest, AProjectOrHardwareThatNoServerCouldReadIsRefusedAtTheStart) {
  const std::string too_long(200, 'x');
  for (const char* text : {static_cast<const char*>(nullptr), "", too_long.c_str()}) {
    const fl_agent_config_t good = device_.config();
    device_.config().project = text;
    EXPECT_EQ(device_.Boot(), FL_ERR_ARG);
    device_.config() = good;
    device_.config().hardware_id = text;
    EXPECT_EQ(device_.Boot(), FL_ERR_ARG);
    device_.config() = good;
  }
  EXPECT_EQ(device_.Boot(), FL_OK);
}

// --- Firmware ---

TEST_F(ComponentsTest, FirmwareThatFailsItsTrialGoesBackWithTheResetAlone) {
  InstallSet(FullSet("one"), 3);
  device_.bootloader.request_count = 0;
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  EXPECT_EQ(device_.bootloader.running, Image("two"));
  device_.classifies = false;
  server_.reports.clear();
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_UNHEALTHY);
  EXPECT_EQ(Last().active_digest(), Sha256(ModelBytes("one")));
  EXPECT_TRUE(RunsConfirmed(FullSet("one"))) << "whole";
  EXPECT_EQ(device_.bootloader.request_count, 1) << "to go there, none to come back";
}

TEST_F(ComponentsTest, AModelThatFailsItsSelfTestTakesTheFirmwareBackWithIt) {
  InstallSet(FullSet("one"), 3);
  ComponentSet bad = FullSet("two");
  bad[kModel] = ModelBytes("BAD");
  Offer(bad, 4);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_SELF_TEST);
  EXPECT_TRUE(RunsConfirmed(FullSet("one")));
  EXPECT_EQ(std::count(device_.started.begin(), device_.started.end(), bad[kModel]), 1);
  EXPECT_EQ(device_.bootloader.request_count, 2) << "one for each update, none to come back";
}

TEST_F(ComponentsTest, FirmwareThatTheBootloaderUndidIsTriedAgainAsOftenAsStartsAreAllowed) {
  InstallSet(FullSet("one"), 3);
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  for (int start = 2; start <= 2 * FIELDLOOP_AGENT_TRIAL_BOOTS; ++start) {
    ASSERT_EQ(device_.Boot(), FL_OK);
    // The reset undoes the swap: it is asked for again, and comes with the next one.
    EXPECT_EQ(device_.rebooting, start % 2 == 0) << start;
    EXPECT_EQ(device_.agent->running.on_trial, start % 2 == 1) << start;
    EXPECT_EQ(device_.bootloader.running, Image(start % 2 == 0 ? "one" : "two"));
  }
  device_.bootloader.pending = false;
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_FALSE(device_.rebooting);
  EXPECT_FALSE(device_.agent->running.on_trial);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_RESTARTS);
  EXPECT_TRUE(RunsConfirmed(FullSet("one")));
}

TEST_F(ComponentsTest, FirmwareThatHasUsedUpItsStartsIsSentBack) {
  InstallSet(FullSet("one"), 3);
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  device_.bootloader.on_trial = false;  // Confirmed to the bootloader, so it comes up each time.
  for (int start = 2; start <= 2 * FIELDLOOP_AGENT_TRIAL_BOOTS; ++start) {
    ASSERT_EQ(device_.Boot(), FL_OK);
    ASSERT_TRUE(device_.agent->running.on_trial) << start;
  }
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_TRUE(device_.rebooting);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_RESTARTS);
  EXPECT_TRUE(RunsConfirmed(FullSet("one")));
}

TEST_F(ComponentsTest, ABootloaderThatNeverSwapsEndsTheTrialAfterAFewRestarts) {
  InstallSet(FullSet("one"), 3);
  const int boots = device_.boots;
  device_.bootloader.swaps = false;
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_RESTARTS);
  EXPECT_EQ(device_.boots - boots, 2 * FIELDLOOP_AGENT_TRIAL_BOOTS + 1);
  EXPECT_TRUE(RunsConfirmed(FullSet("one")));
  EXPECT_EQ(std::count(device_.started.begin(), device_.started.end(), ModelBytes("two")), 0)
      << "never with the firmware of another set";
}

TEST_F(ComponentsTest, ASwapThatCannotBeAskedForFailsTheUpdateWithoutARestart) {
  InstallSet(FullSet("one"), 3);
  const int boots = device_.boots;
  device_.bootloader.swap_status = FL_ERR_IO;
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_FAILED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_STORAGE);
  EXPECT_EQ(device_.boots, boots);
  // It is not the set's fault: another try succeeds.
  device_.bootloader.swap_status = FL_OK;
  server_.reports.clear();
  Offer(FullSet("two"), 5);
  EXPECT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("two")); }));
}

TEST_F(ComponentsTest, ASwapThatCannotBeRepeatedRevertsTheSet) {
  InstallSet(FullSet("one"), 3);
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  device_.bootloader.swap_status = FL_ERR_IO;
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_FALSE(device_.rebooting);
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_STORAGE);
  EXPECT_TRUE(RunsConfirmed(FullSet("one")));
}

TEST_F(ComponentsTest, FirmwareConfirmedToTheBootloaderOnlyGoesBackByAnotherSwap) {
  InstallSet(FullSet("one"), 3);
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  // The power went between the bootloader's confirmation and the record's.
  device_.bootloader.on_trial = false;
  ASSERT_EQ(device_.Boot(), FL_OK);
  ASSERT_TRUE(device_.agent->running.on_trial) << "the trial goes on";
  device_.classifies = false;
  device_.bootloader.request_count = 0;
  server_.reports.clear();
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_EQ(device_.bootloader.request_count, 1);
  EXPECT_TRUE(RunsConfirmed(FullSet("one")));
  EXPECT_FALSE(device_.bootloader.on_trial) << "what is back stays";
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(5000);
  EXPECT_TRUE(RunsConfirmed(FullSet("one")));
}

TEST_F(ComponentsTest, FirmwareThatCannotBeGotRidOfIsWhatRunsInTheEnd) {
  InstallSet(FullSet("one"), 3);
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  device_.bootloader.on_trial = false;
  device_.bootloader.swaps = false;
  device_.classifies = false;
  const int boots = device_.boots;
  server_.reports.clear();
  ASSERT_TRUE(device_.Live([&] { return Ended(v1::UPDATE_PHASE_REVERTED); }));
  EXPECT_LE(device_.boots - boots, FIELDLOOP_AGENT_TRIAL_BOOTS + 2) << "no loop of restarts";
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
  device_.Run(2000);
  EXPECT_EQ(LastState().components(1).active_digest(), Sha256(Image("two"))) << "and it says so";
  EXPECT_EQ(LastState().components(1).release_sequence(), 0u);
}

TEST_F(ComponentsTest, AConfirmationThatFailsIsTriedAgain) {
  device_.bootloader.confirm_status = FL_ERR_IO;
  ASSERT_EQ(device_.Boot(), FL_OK);
  Offer(FullSet("one"), 3);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  for (int i = 0; i < 20; ++i) {
    device_.Observe();
    device_.Run(100);
  }
  EXPECT_TRUE(device_.agent->running.on_trial) << "not confirmed with one half only";
  device_.bootloader.confirm_status = FL_OK;
  EXPECT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("one")); }));
}

TEST_F(ComponentsTest, ASwapWhoseRecordWasLostIsTakenForATrial) {
  InstallSet(FullSet("one"), 3);
  device_.consent[FL_STEP_INSTALL] = 600'000;
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->state.phase == FL_PHASE_DOWNLOADED; }));
  const auto before = device_.state_flash.bytes();
  device_.consent[FL_STEP_INSTALL] = 0;
  device_.consent[FL_STEP_REBOOT] = FL_CONSENT_DECLINED;
  ASSERT_TRUE(device_.Live([&] { return device_.agent->state.phase == FL_PHASE_TRIAL; }, 1200));
  device_.state_flash.bytes() = before;
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_TRUE(device_.agent->running.on_trial);
  EXPECT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("two")); }));
}

TEST_F(ComponentsTest, WithoutARecordThatCanBeSavedTheSetOfTheFirmwareThatRunsIsStarted) {
  InstallSet(FullSet("one"), 3);
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  const auto before = device_.state_flash.bytes();
  const int boots = device_.boots;
  for (uint32_t sector = 0; sector < 2; ++sector) {
    device_.state_flash.bytes() = before;
    device_.state_flash.KillSector(sector);
    for (int i = 0; i < 10; ++i) {
      // The bootloader takes the firmware back, which was not confirmed to it.
      ASSERT_EQ(device_.Boot(), FL_OK);
      EXPECT_EQ(device_.bootloader.running, Image("one"));
      EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
      EXPECT_EQ(device_.configuration, Settings("one"));
      EXPECT_FALSE(device_.rebooting) << "no loop of restarts";
    }
  }
  EXPECT_EQ(device_.boots, boots + 20);
}

TEST_F(ComponentsTest, ASetThatFailsWhileItsStartsCannotBeCountedGoesWithOneRestart) {
  InstallSet(FullSet("one"), 3);
  ComponentSet bad = FullSet("two");
  bad[kModel] = "BAD" + ModelBytes("two");
  device_.consent[FL_STEP_REBOOT] = FL_CONSENT_DECLINED;
  Offer(bad, 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->state.phase == FL_PHASE_TRIAL; }));
  device_.state_flash.IgnorePrograms(true);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_EQ(device_.bootloader.running, Image("two"));
  EXPECT_FALSE(device_.agent->running.on) << "neither the bad model nor a mixture";
  ASSERT_TRUE(device_.rebooting);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_FALSE(device_.rebooting);
  EXPECT_EQ(device_.bootloader.running, Image("one"));
  EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("one")));
}

TEST_F(ComponentsTest, FirmwareThatIsKeptRunsWithItsSetThoughTheRecordThatSaysSoCannotBeRead) {
  InstallSet(FullSet("one"), 3);
  Offer(FullSet("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return device_.agent->running.on_trial; }));
  const auto trial = device_.state_flash.bytes();
  ASSERT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("two")); }));
  device_.state_flash.bytes() = trial;
  device_.state_flash.IgnorePrograms(true);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(device_.Boot(), FL_OK);
    EXPECT_EQ(device_.bootloader.running, Image("two"));
    EXPECT_EQ(device_.RunningDigest(), Sha256(ModelBytes("two")));
    EXPECT_EQ(device_.configuration, Settings("two"));
    EXPECT_FALSE(device_.rebooting);
  }
}

TEST_F(ComponentsTest, FirmwareThatCameFromElsewhereIsReportedAsSuch) {
  InstallSet(FullSet("one"), 3);
  device_.bootloader.running = Image("of the workbench");
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(5000);
  EXPECT_EQ(LastState().components(1).active_digest(), Sha256(Image("of the workbench")));
  EXPECT_EQ(LastState().components(1).release_sequence(), 0u);
  EXPECT_EQ(LastState().components(0).release_sequence(), 3u);
}

// The power fails at many points of the update of a whole set; then the device starts again and
// must come to run the new set, never a mix of two.
TEST_F(ComponentsTest, APowerCutAnywhereInTheUpdateOfASetLeavesNoMixture) {
  const ComponentSet old_set = FullSet("old");
  const ComponentSet new_set = FullSet("new");
  InstallSet(old_set, 3);
  const auto copy = [](Device& from, Device& to) {
    to.state_flash.bytes() = from.state_flash.bytes();
    to.outbox_flash.bytes() = from.outbox_flash.bytes();
    for (int i = 0; i < 2; ++i) {
      to.slot_flash[i].bytes() = from.slot_flash[i].bytes();
      to.configuration_flash[i].bytes() = from.configuration_flash[i].bytes();
    }
    to.bootloader.slot().bytes() = from.bootloader.slot().bytes();
    to.bootloader.running = from.bootloader.running;
    to.bootloader.set_download_size(Image("new").size());
  };
  const auto runs = [](const Device& device, const ComponentSet& set) {
    return device.RunningDigest() == Sha256(set.at(kModel)) &&
           device.bootloader.running == set.at(kFirmware) &&
           device.configuration == set.at(kConfiguration);
  };
  const auto update = [&](Device& device) {
    return device.Live(
        [&] {
          // Whatever is started is one set or the other.
          EXPECT_TRUE(device.rebooting || !device.agent->running.on || runs(device, old_set) ||
                      runs(device, new_set));
          return runs(device, new_set) && !device.agent->running.on_trial &&
                 device.agent->state.phase == FL_PHASE_IDLE && device.agent->outbox.live == 0;
        },
        400);
  };
  uint64_t steps = 0;
  for (uint64_t cut = 0; cut == 0 || cut < steps; cut += cut == 0 ? 1 : 47) {
    ScriptedServer server(trust_);
    server.settings = server_.settings;
    server.OfferSet(new_set, 4);
    server.next_check_in_ms = 5000;
    Device device(trust_, server, cut + 1);
    copy(device_, device);
    if (cut > 0) device.power.steps_left = cut;
    if (device.Boot() == FL_OK) {
      const bool done = update(device);
      ASSERT_TRUE(done || cut > 0);
    }
    if (cut == 0) {
      steps = device.power.steps_done;
      ASSERT_GT(steps, 6000u);
      continue;
    }
    device.power.Restore();
    device.power.steps_left = (cut * 7) % 900;  // A second cut, while the first is mended.
    if (device.Boot() == FL_OK) device.Run(3000);
    device.power.Restore();
    ASSERT_EQ(device.Boot(), FL_OK) << "cut after " << cut;
    ASSERT_TRUE(update(device)) << "cut after " << cut;
    ASSERT_LE(device.boots, 20) << "cut after " << cut;
  }
}

// --- Consent ---

TEST_F(ComponentsTest, EachStepHasAConsentOfItsOwn) {
  ASSERT_EQ(device_.Boot(), FL_OK);
  Offer(FullSet("one"), 3);
  ASSERT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("one")); }));
  EXPECT_THAT(device_.asked, ElementsAre(FL_STEP_DOWNLOAD, FL_STEP_INSTALL, FL_STEP_REBOOT));
}

TEST_F(ComponentsTest, InstallWaitsForTheTimeThatTheApplicationGave) {
  device_.consent[FL_STEP_INSTALL] = 40'000;
  server_.next_check_in_ms = 3'600'000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.OfferModel(ModelBytes("one"), 3);
  ASSERT_TRUE(device_.RunUntil([&] { return device_.asked.size() == 2; }));
  const uint64_t asked = device_.now;
  EXPECT_EQ(device_.agent->state.phase, FL_PHASE_DOWNLOADED);
  ASSERT_TRUE(device_.RunUntil([&] { return device_.asked.size() == 3; }));
  EXPECT_EQ(device_.now - asked, 40'000u) << "no sooner, no later, and without the server";
  device_.consent[FL_STEP_INSTALL] = FL_CONSENT_NOW;
  EXPECT_TRUE(device_.Live([&] { return device_.agent->running.on; }));
  int deferred = 0;
  for (const v1::UpdateReport& report : server_.reports) {
    deferred += report.phase() == v1::UPDATE_PHASE_DEFERRED ? 1 : 0;
  }
  EXPECT_EQ(deferred, 1) << "reported once";
}

TEST_F(ComponentsTest, ADeferralOutlivesARestart) {
  device_.consent[FL_STEP_INSTALL] = 7'200'000;
  server_.next_check_in_ms = 60'000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.OfferModel(ModelBytes("one"), 3);
  ASSERT_TRUE(device_.RunUntil([&] { return device_.asked.size() == 2; }));
  device_.Run(60'000);
  const uint64_t waited = 60'000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.now_ms = kNowMs + waited;
  device_.Run(7'000'000);
  EXPECT_EQ(device_.asked.size(), 2u);
  device_.Run(300'000);
  EXPECT_GE(device_.asked.size(), 3u);
}

TEST_F(ComponentsTest, AnInstalledSetStartsWithTheNextRestartWhateverItsCause) {
  device_.consent[FL_STEP_REBOOT] = FL_CONSENT_DECLINED;
  ASSERT_EQ(device_.Boot(), FL_OK);
  Offer(FullSet("one"), 3);
  device_.Run(600'000);
  EXPECT_EQ(device_.boots, 1) << "the agent leaves it to others";
  EXPECT_EQ(std::count(device_.asked.begin(), device_.asked.end(), FL_STEP_REBOOT), 1);
  EXPECT_EQ(Last().phase(), v1::UPDATE_PHASE_DEFERRED);
  EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_DECLINED);
  ASSERT_EQ(device_.Boot(), FL_OK);
  EXPECT_TRUE(device_.agent->running.on_trial);
  EXPECT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("one")); }));
}

TEST_F(ComponentsTest, WhatIsDeclinedIsReportedOnceAndNotAskedAgainForTheSameOffer) {
  for (const fl_step_t step : {FL_STEP_DOWNLOAD, FL_STEP_INSTALL}) {
    device_.consent[FL_STEP_DOWNLOAD] = device_.consent[FL_STEP_INSTALL] = FL_CONSENT_NOW;
    device_.consent[step] = FL_CONSENT_DECLINED;
    device_.asked.clear();
    server_.reports.clear();
    server_.next_check_in_ms = 1000;
    const v1::SignedDocument manifest =
        server_.Manifest(ModelBytes("one"), 3u + static_cast<uint64_t>(step));
    server_.artifacts[Sha256(ModelBytes("one"))] = ModelBytes("one");
    server_.offer = [&](const std::string& nonce) { return server_.OfferOf(manifest, nonce); };
    ASSERT_EQ(device_.Boot(), FL_OK);
    device_.Run(20'000);
    ASSERT_EQ(device_.Boot(), FL_OK);
    device_.Run(20'000);
    EXPECT_EQ(std::count(device_.asked.begin(), device_.asked.end(), step), 1);
    EXPECT_EQ(Last().phase(), v1::UPDATE_PHASE_FAILED);
    EXPECT_EQ(Last().cause(), v1::UPDATE_CAUSE_DECLINED);
    EXPECT_LE(server_.reports.size(), 3u);
  }
}

TEST_F(ComponentsTest, AForcedRolloutOverridesADeferral) {
  for (uint32_t& answer : device_.consent) answer = 3'600'000;
  server_.next_check_in_ms = 5000;
  const std::string model = ModelBytes("one");
  server_.artifacts[Sha256(model)] = model;
  bool forced = false;
  const v1::SignedDocument manifest = server_.Manifest(model, 3);
  server_.offer = [&](const std::string& nonce) -> std::optional<v1::UpdateOffer> {
    if (device_.agent->running.on) return std::nullopt;
    v1::Directive directive = server_.DirectiveFor(manifest, nonce);
    directive.set_forced(forced);
    v1::UpdateOffer offer;
    *offer.mutable_manifest() = manifest;
    *offer.mutable_directive() = server_.SignDirective(directive);
    return offer;
  };
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(60'000);
  EXPECT_THAT(device_.asked, ElementsAre(FL_STEP_DOWNLOAD));
  forced = true;
  EXPECT_TRUE(device_.Live([&] { return device_.RunningDigest() == Sha256(model); }));
  EXPECT_THAT(device_.asked, ElementsAre(FL_STEP_DOWNLOAD));
}

TEST_F(ComponentsTest, ARolloutThatWasPausedIsNotInstalledWhileTheDeviceWaits) {
  device_.consent[FL_STEP_INSTALL] = 60'000;
  server_.next_check_in_ms = 10'000;
  ASSERT_EQ(device_.Boot(), FL_OK);
  server_.OfferModel(ModelBytes("one"), 3);
  ASSERT_TRUE(device_.RunUntil([&] { return device_.asked.size() == 2; }));
  device_.consent[FL_STEP_INSTALL] = FL_CONSENT_NOW;
  server_.offer = nullptr;
  server_.Disconnect();
  device_.Run(300'000);
  EXPECT_EQ(device_.agent->state.phase, FL_PHASE_DOWNLOADED);
  server_.OfferModel(ModelBytes("one"), 3);
  EXPECT_TRUE(device_.Live([&] { return device_.agent->running.on; }));
}

// --- Wear ---

// Erases and programmed bytes of the state area and the outbox; `printf` makes the table of
// agent/docs/DESIGN.md.
class WearTest : public ComponentsTest {
 protected:
  struct Wear {
    int state_erases;
    int outbox_erases;
    int slot_erases;
    uint64_t bytes;
  };
  Wear Now() {
    Wear wear = {device_.state_flash.erases(), device_.outbox_flash.erases(), 0,
                 device_.state_flash.programmed_bytes() + device_.outbox_flash.programmed_bytes()};
    for (const SimFlash* flash :
         {&device_.slot_flash[0], &device_.slot_flash[1], &device_.configuration_flash[0],
          &device_.configuration_flash[1], &device_.bootloader.slot()}) {
      wear.slot_erases += flash->erases();
      wear.bytes += flash->programmed_bytes();
    }
    return wear;
  }
  Wear Since(const Wear& before, const char* what) {
    const Wear now = Now();
    const Wear wear = {now.state_erases - before.state_erases,
                       now.outbox_erases - before.outbox_erases,
                       now.slot_erases - before.slot_erases, now.bytes - before.bytes};
    std::printf("| %s | %d | %d | %d | %llu |\n", what, wear.state_erases, wear.outbox_erases,
                wear.slot_erases, static_cast<unsigned long long>(wear.bytes));
    return wear;
  }
};

TEST_F(WearTest, WritesToFlashAreBounded) {
  server_.next_check_in_ms = 300'000;
  InstallSet(FullSet("one"), 3);
  device_.Run(10'000);

  Wear before = Now();
  server_.OfferModel(ModelBytes("two"), 4);
  ASSERT_TRUE(device_.Live([&] { return RunsConfirmed({{kModel, ModelBytes("two")}}); }));
  Wear wear = Since(before, "update of a model of 3 KB, with one restart");
  EXPECT_LE(wear.state_erases, 10);
  EXPECT_LE(wear.slot_erases, 3);

  before = Now();
  Offer(FullSet("three"), 5);
  ASSERT_TRUE(device_.Live([&] { return RunsConfirmed(FullSet("three")); }));
  wear = Since(before, "update of model, firmware and configuration, 5.7 KB, with one restart");
  EXPECT_LE(wear.state_erases, 12);

  server_.offer = nullptr;
  before = Now();
  const int check_ins = server_.Count([](const auto& m) { return m.has_check_in(); });
  for (int hour = 0; hour < 24; ++hour) {
    device_.Run(3'600'000);
    server_.now_ms += 3'600'000;
  }
  wear = Since(before, "a day without windows, 288 check-ins over one connection");
  EXPECT_GE(server_.Count([](const auto& m) { return m.has_check_in(); }) - check_ins, 280);
  EXPECT_EQ(wear.state_erases, 0);
  EXPECT_EQ(wear.bytes, 0u);

  before = Now();
  for (int hour = 0; hour < 24; ++hour) {
    server_.Disconnect();
    device_.Run(3'600'000);
    server_.now_ms += 3'600'000;
  }
  wear = Since(before, "a day without windows, 24 connections");
  EXPECT_LE(wear.state_erases, 24);

  before = Now();
  ASSERT_EQ(device_.Boot(), FL_OK);
  device_.Run(60'000);
  wear = Since(before, "a restart");
  EXPECT_LE(wear.state_erases, 2);

  before = Now();
  const size_t sketches = server_.sketches.size();
  while (server_.sketches.size() < sketches + 1000) {
    for (int i = 0; i < 10; ++i) device_.Observe();
    device_.Run(1000);
  }
  wear = Since(before, "1000 sketches of one channel, sent as they come");
  EXPECT_LE(wear.state_erases, 2) << "sequences are reserved a block at a time";
  EXPECT_LE(wear.outbox_erases, 20);
}

TEST_F(WearTest, AServerThatRepeatsItselfWearsNothing) {
  InstallSet(FullSet("one"), 3);
  server_.next_check_in_ms = 1000;
  device_.consent[FL_STEP_DOWNLOAD] = 3'600'000;
  const v1::SignedDocument manifest = server_.Manifest(ModelBytes("two"), 4);
  server_.offer = [&](const std::string& nonce) { return server_.OfferOf(manifest, nonce); };
  device_.Run(400'000);
  const Wear before = Now();
  device_.Run(1'000'000);
  EXPECT_EQ(Since(before, "1000 offers that are deferred").bytes, 0u);
}

}  // namespace
}  // namespace fieldloop::agent
