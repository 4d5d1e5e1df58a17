-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Times are Unix microseconds. Lists are lines of escaped text; bytes are base64.
CREATE TABLE impulses (
  project TEXT NOT NULL,
  id TEXT NOT NULL,
  version BIGINT NOT NULL,
  recipe TEXT NOT NULL,
  digest TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, id, version)
);

CREATE TABLE builds (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  dataset_version TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  impulse TEXT NOT NULL,
  impulse_digest TEXT NOT NULL,
  seed BIGINT NOT NULL,
  parent_model BIGINT NOT NULL,
  parent_digest TEXT NOT NULL,
  request_id TEXT NOT NULL,
  state INTEGER NOT NULL,
  progress DOUBLE PRECISION NOT NULL,
  activity TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  epochs INTEGER NOT NULL,
  metrics TEXT NOT NULL,
  error TEXT NOT NULL,
  model BIGINT NOT NULL,
  trainer TEXT NOT NULL,
  trainer_digest TEXT NOT NULL,
  log_digest TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  start_micros BIGINT NOT NULL,
  end_micros BIGINT NOT NULL,
  owner TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  interruptions INTEGER NOT NULL,
  waits INTEGER NOT NULL,
  lease_micros BIGINT NOT NULL,
  not_before_micros BIGINT NOT NULL,
  PRIMARY KEY (project, number)
);
CREATE INDEX builds_queue ON builds (state, create_micros, project, number);
CREATE UNIQUE INDEX builds_request ON builds (project, request_id) WHERE request_id <> '';

CREATE TABLE models (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  digest TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  arena_bytes BIGINT NOT NULL,
  build BIGINT NOT NULL,
  dataset_version TEXT NOT NULL,
  impulse TEXT NOT NULL,
  parent_model BIGINT NOT NULL,
  classes TEXT NOT NULL,
  trainer_metrics TEXT NOT NULL,
  metadata TEXT NOT NULL,
  dataset_digest TEXT NOT NULL,
  impulse_digest TEXT NOT NULL,
  seed BIGINT NOT NULL,
  parent_digest TEXT NOT NULL,
  trainer_digest TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, number)
);
CREATE INDEX models_digest ON models (project, digest, number);
CREATE INDEX models_inputs ON models (project, dataset_digest, impulse_digest, trainer_digest);

-- Where each alias points now; the changes are the truth that it follows from.
CREATE TABLE aliases (
  project TEXT NOT NULL,
  alias TEXT NOT NULL,
  model BIGINT NOT NULL,
  PRIMARY KEY (project, alias)
);

CREATE TABLE alias_changes (
  project TEXT NOT NULL,
  alias TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  model BIGINT NOT NULL,
  author TEXT NOT NULL,
  reason TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, alias, sequence)
);

CREATE TABLE releases (
  project TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  model BIGINT NOT NULL,
  payload TEXT NOT NULL,
  signatures TEXT NOT NULL,
  request_id TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, sequence)
);
CREATE UNIQUE INDEX releases_request ON releases (project, request_id) WHERE request_id <> '';
