// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/scenarios.h"

#include <algorithm>

namespace fieldloop::faults {
namespace {

constexpr uint64_t kOldRelease = 3;
constexpr uint64_t kNewRelease = 4;
constexpr size_t kModelBytes = 2500;
constexpr size_t kFirmwareBytes = 900;
constexpr size_t kSettingsBytes = 300;
constexpr uint32_t kStateSectors = 4;
constexpr uint32_t kOutboxSectors = 4;
constexpr uint32_t kIdentitySectors = 4;

v1::Settings SettingsOf(uint32_t version) {
  v1::Settings settings;
  settings.set_version(version);
  settings.set_sketch_period_ms(20'000);
  settings.set_trial_windows(3);
  settings.set_trial_timeout_ms(120'000);
  return settings;
}

Offer OldModel() { return {ModelBytes("old ", kModelBytes - 1000), kOldRelease}; }

// A device that runs the old model and is given another one.
Scenario Update(const std::string& name, const std::string& model, size_t size,
                v1::UpdatePhase ended) {
  Scenario scenario;
  scenario.name = name;
  scenario.script.settings = SettingsOf(1);
  scenario.script.offers = {OldModel(), {ModelBytes(model, size), kNewRelease}};
  scenario.goal.release = kNewRelease;
  scenario.goal.ended = ended;
  scenario.goal.running =
      scenario.script.offers[ended == v1::UPDATE_PHASE_CONFIRMED ? 1 : 0].digest;
  return scenario;
}

// A device that runs a set of a model, a configuration and, perhaps, a firmware, and is given
// another one.
Scenario UpdateOfSet(const std::string& name, const std::string& model,
                     const std::string& configuration, bool with_firmware, v1::UpdatePhase ended) {
  const auto image = [&](const char* text) {
    return with_firmware ? ModelBytes(text, kFirmwareBytes) : std::string();
  };
  Scenario scenario = Update(name, model, kModelBytes, ended);
  scenario.script.offers = {{OldModel().artifact, kOldRelease, Offer::kNone,
                             ModelBytes("old settings", kSettingsBytes), image("old image")},
                            {ModelBytes(model, kModelBytes), kNewRelease, Offer::kNone,
                             ModelBytes(configuration, kSettingsBytes), image("new image")}};
  scenario.goal.whole_set = true;
  return scenario;
}

// A device that runs the old model and is given none.
Scenario Running(const std::string& name) {
  Scenario scenario;
  scenario.name = name;
  scenario.script.settings = SettingsOf(1);
  scenario.script.offers = {OldModel()};
  scenario.goal.running = scenario.script.offers[0].digest;
  return scenario;
}

// Recordings while the server is away, then all of them are sent.
Scenario Outbox(const std::string& name, const Geometry& geometry, int windows, uint32_t part,
                bool may_drop) {
  Scenario scenario = Running(name);
  scenario.script.settings = SettingsOf(2);
  scenario.script.settings->set_sketch_period_ms(5000);
  v1::CollectionPlan* plan = scenario.script.settings->mutable_collection();
  plan->set_plan_id(1);
  plan->set_samples_per_period(3);
  plan->set_samples_total(64);
  plan->set_random_share(0.5F);
  scenario.windows = windows;
  scenario.offline_windows = true;
  scenario.may_drop = may_drop;
  scenario.window_values = std::min<uint32_t>(geometry.sector / part, 65'536) / 4;
  scenario.goal.all_windows = true;
  return scenario;
}

}  // namespace

std::vector<Scenario> Scenarios(const Geometry& geometry) {
  std::vector<Scenario> all;

  Scenario enrolment;
  enrolment.name = "enrolment and first model";
  enrolment.start = Scenario::kNew;
  enrolment.script.settings = SettingsOf(1);
  enrolment.script.offers = {OldModel()};
  enrolment.goal.running = enrolment.script.offers[0].digest;
  enrolment.goal.release = kOldRelease;
  enrolment.goal.ended = v1::UPDATE_PHASE_CONFIRMED;
  enrolment.goal.certificate_from = kNowMs;
  all.push_back(enrolment);

  all.push_back(Update("update", "new ", kModelBytes, v1::UPDATE_PHASE_CONFIRMED));
  all.back().twice = true;
  all.push_back(Update("download resumed", "new ",
                       std::max<size_t>(6000, geometry.sector + geometry.sector / 4),
                       v1::UPDATE_PHASE_CONFIRMED));
  all.push_back(Update("self-test fails", "BAD ", kModelBytes, v1::UPDATE_PHASE_REVERTED));
  all.push_back(Update("unhealthy", "ILL ", kModelBytes, v1::UPDATE_PHASE_REVERTED));
  all.push_back(Update("restarts too often", "LOOP", kModelBytes, v1::UPDATE_PHASE_REVERTED));
  all.push_back(Update("no contact", "MUTE", kModelBytes, v1::UPDATE_PHASE_REVERTED));

  // Offers that must be refused, then a good one.
  Scenario refused = Update("refused, then good", "new ", kModelBytes, v1::UPDATE_PHASE_CONFIRMED);
  refused.script.offers = {OldModel(),
                           {ModelBytes("evil", kModelBytes), 4, Offer::kSignedByAStranger},
                           {ModelBytes("torn", kModelBytes), 5, Offer::kOtherBytes},
                           {ModelBytes("new ", kModelBytes), 6}};
  refused.goal.release = 6;
  refused.goal.running = refused.script.offers[3].digest;
  all.push_back(refused);

  // The model that runs, in another release.
  Scenario same = Update("release of what runs", "new ", kModelBytes, v1::UPDATE_PHASE_CONFIRMED);
  same.script.offers[1] = {OldModel().artifact, kNewRelease};
  same.goal.running = same.script.offers[1].digest;
  all.push_back(same);

  all.push_back(UpdateOfSet("set", "new ", "new settings", true, v1::UPDATE_PHASE_CONFIRMED));
  all.back().twice = true;
  all.push_back(UpdateOfSet("set without firmware", "new ", "new settings", false,
                            v1::UPDATE_PHASE_CONFIRMED));
  all.push_back(
      UpdateOfSet("set, self-test fails", "BAD ", "new settings", true, v1::UPDATE_PHASE_REVERTED));
  all.push_back(UpdateOfSet("set, settings refused", "new ", "BAD settings", true,
                            v1::UPDATE_PHASE_REVERTED));
  all.push_back(
      UpdateOfSet("set, unhealthy", "ILL ", "new settings", true, v1::UPDATE_PHASE_REVERTED));
  all.push_back(UpdateOfSet("set, restarts too often", "LOOP", "new settings", true,
                            v1::UPDATE_PHASE_REVERTED));

  Scenario renewal = Running("renewal");
  renewal.certificate_ends = true;
  renewal.goal.certificate_from = kNowMs + 70 * kDayMs;
  renewal.twice = true;
  all.push_back(renewal);

  Scenario settings = Running("settings");
  settings.script.settings = SettingsOf(2);
  settings.goal.settings_version = 2;
  all.push_back(settings);

  Scenario root = Running("root rotation");
  root.script.next_root = true;
  root.goal.root_version = 2;
  all.push_back(root);

  all.push_back(Outbox("outbox", geometry, 25, 14, false));
  all.push_back(Outbox("outbox overflows", geometry, 30, 4, true));
  return all;
}

World StartOf(const Scenario& scenario, const Geometry& geometry, std::string* wrong) {
  size_t model = 0;
  size_t configuration = 0;
  size_t firmware = 0;
  for (const Offer& offer : scenario.script.offers) {
    model = std::max(model, offer.artifact.size());
    configuration = std::max(configuration, offer.configuration.size());
    firmware = std::max(firmware, offer.firmware.size());
  }
  World world(geometry);
  const auto sectors = [&](size_t bytes) {
    return static_cast<uint32_t>((bytes + geometry.sector - 1) / geometry.sector);
  };
  world.flash.AddSectors(kState, kStateSectors);
  world.flash.AddSectors(kOutbox, kOutboxSectors);
  world.flash.AddSectors(kSlot0, sectors(model));
  world.flash.AddSectors(kSlot1, sectors(model));
  world.flash.AddSectors(kIdentity, kIdentitySectors);
  world.flash.AddSectors(kConfiguration0, sectors(configuration));
  world.flash.AddSectors(kConfiguration1, sectors(configuration));
  world.flash.AddSectors(kFirmware, sectors(firmware));
  world.flash.SetFirmware(FactoryFirmware());
  wrong->clear();
  if (scenario.start == Scenario::kRunning) {
    Scenario before = Running("before");
    before.script.offers = {scenario.script.offers[0]};
    before.goal.running = scenario.script.offers[0].digest;
    before.goal.whole_set = scenario.goal.whole_set;
    before.goal.release = kOldRelease;
    before.goal.ended = v1::UPDATE_PHASE_CONFIRMED;
    if (scenario.script.settings->has_collection())
      before.script.settings = scenario.script.settings;
    world.server.script = &before.script;
    *wrong = Device(world, before).Run();
    if (scenario.certificate_ends) world.now += 70 * kDayMs;
  }
  world.server.script = &scenario.script;
  world.windows_seen = 0;
  return world;
}

std::vector<Geometry> Geometries() {
  std::vector<Geometry> all;
  for (const uint32_t sector : {2048u, 4096u, 8192u, 16384u, 32768u, 65536u, 131072u}) {
    for (const uint32_t unit : {1u, 4u, 8u, 16u, 32u}) {
      for (const uint8_t erased : {uint8_t{0xff}, uint8_t{0x00}})
        all.push_back({unit, sector, erased, false});
    }
  }
  for (const uint32_t sector : {2048u, 4096u, 131072u}) {
    for (const uint32_t unit : {1u, 16u}) all.push_back({unit, sector, 0xff, true});
  }
  return all;
}

}  // namespace fieldloop::faults
