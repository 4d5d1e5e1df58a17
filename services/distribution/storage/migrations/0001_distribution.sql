-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0

CREATE TABLE device_states (
  device TEXT PRIMARY KEY,
  project TEXT NOT NULL,
  model_digest TEXT NOT NULL,
  confirmed INTEGER NOT NULL,
  release_sequence BIGINT NOT NULL,
  hardware_id TEXT NOT NULL,
  agent_version TEXT NOT NULL,
  boot_count BIGINT NOT NULL,
  dropped_uplinks BIGINT NOT NULL,
  last_seen_micros BIGINT NOT NULL,
  connected_until_micros BIGINT NOT NULL
);
CREATE INDEX device_states_by_project ON device_states (project, device);

CREATE TABLE fleet_settings (
  project TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  plan_id INTEGER NOT NULL,
  check_in_seconds DOUBLE PRECISION NOT NULL,
  sketch_period_seconds INTEGER NOT NULL,
  trial_windows INTEGER NOT NULL,
  trial_timeout_seconds INTEGER NOT NULL,
  has_collection INTEGER NOT NULL,
  collection_target TEXT NOT NULL,
  samples_per_period INTEGER NOT NULL,
  random_share DOUBLE PRECISION NOT NULL,
  samples_total INTEGER NOT NULL
);

CREATE TABLE rollouts (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  request_id TEXT NOT NULL,
  release_name TEXT NOT NULL,
  target TEXT NOT NULL,
  stages TEXT NOT NULL,
  failure_percent DOUBLE PRECISION NOT NULL,
  failure_count INTEGER NOT NULL,
  device_timeout_seconds BIGINT NOT NULL,
  state INTEGER NOT NULL,
  state_reason TEXT NOT NULL,
  stage INTEGER NOT NULL,
  target_count INTEGER NOT NULL,
  quota INTEGER NOT NULL,
  offered INTEGER NOT NULL,
  confirmed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  missed INTEGER NOT NULL,
  model TEXT NOT NULL,
  model_digest TEXT NOT NULL,
  release_sequence BIGINT NOT NULL,
  release_expire_micros BIGINT NOT NULL,
  artifact_digests TEXT NOT NULL,
  manifest TEXT NOT NULL,
  turn_timeout_seconds BIGINT NOT NULL,
  stage_open_micros BIGINT NOT NULL,
  stage_confirm_micros BIGINT NOT NULL,
  pause_micros BIGINT NOT NULL,
  create_micros BIGINT NOT NULL,
  end_micros BIGINT NOT NULL,
  event_count BIGINT NOT NULL,
  PRIMARY KEY (project, number),
  CONSTRAINT rollouts_quota CHECK (offered <= quota AND quota <= target_count)
);
CREATE UNIQUE INDEX rollouts_one_active ON rollouts (project) WHERE state IN (1, 2);
CREATE UNIQUE INDEX rollouts_by_request ON rollouts (project, request_id) WHERE request_id <> '';

CREATE TABLE rollout_devices (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  device TEXT NOT NULL,
  position INTEGER NOT NULL,
  state INTEGER NOT NULL,
  cause TEXT NOT NULL,
  stage INTEGER NOT NULL,
  offer_micros BIGINT NOT NULL,
  update_micros BIGINT NOT NULL,
  PRIMARY KEY (project, number, device)
);
CREATE INDEX rollout_devices_by_state ON rollout_devices (project, number, state, offer_micros);

CREATE TABLE rollout_events (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  event BIGINT NOT NULL,
  create_micros BIGINT NOT NULL,
  kind TEXT NOT NULL,
  device TEXT NOT NULL,
  detail TEXT NOT NULL,
  stage INTEGER NOT NULL,
  offered INTEGER NOT NULL,
  quota INTEGER NOT NULL,
  author TEXT NOT NULL,
  report_sequence TEXT NOT NULL,
  PRIMARY KEY (project, number, event)
);
CREATE INDEX rollout_events_by_report ON rollout_events (project, number, device, report_sequence);
