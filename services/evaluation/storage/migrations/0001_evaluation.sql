CREATE TABLE evaluations (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  request_id TEXT NOT NULL,
  model TEXT NOT NULL,
  dataset_version TEXT NOT NULL,
  baseline_model TEXT NOT NULL,
  slice_keys TEXT NOT NULL,
  state BIGINT NOT NULL,
  progress DOUBLE PRECISION NOT NULL,
  error TEXT NOT NULL,
  slices TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  end_micros BIGINT NOT NULL,
  PRIMARY KEY (project, number)
);
CREATE INDEX evaluations_by_state ON evaluations (state, create_micros);
CREATE TABLE request_ids (
  kind TEXT NOT NULL,
  project TEXT NOT NULL,
  request_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  PRIMARY KEY (kind, project, request_id)
);
CREATE TABLE policies (
  project TEXT NOT NULL,
  version BIGINT NOT NULL,
  yaml TEXT NOT NULL,
  update_micros BIGINT NOT NULL,
  PRIMARY KEY (project, version)
);
CREATE TABLE cycles (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  state BIGINT NOT NULL,
  clean_up BIGINT NOT NULL,
  body TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  end_micros BIGINT NOT NULL,
  PRIMARY KEY (project, number)
);
CREATE INDEX cycles_by_state ON cycles (state);
CREATE INDEX cycles_to_clean_up ON cycles (clean_up);
CREATE TABLE active_cycles (
  project TEXT NOT NULL PRIMARY KEY,
  number BIGINT NOT NULL
);
CREATE TABLE cycle_transitions (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  step BIGINT NOT NULL,
  from_state BIGINT NOT NULL,
  to_state BIGINT NOT NULL,
  create_micros BIGINT NOT NULL,
  author TEXT NOT NULL,
  reason TEXT NOT NULL,
  evidence TEXT NOT NULL,
  PRIMARY KEY (project, number, step)
);
CREATE TABLE sketches (
  project TEXT NOT NULL,
  device TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  run BIGINT NOT NULL,
  ordinal BIGINT NOT NULL,
  model_digest TEXT NOT NULL,
  start_micros BIGINT NOT NULL,
  receive_micros BIGINT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (project, device, sequence)
);
CREATE INDEX sketches_by_start ON sketches (project, start_micros);
CREATE INDEX sketches_by_receive ON sketches (receive_micros);
CREATE TABLE device_runs (
  project TEXT NOT NULL,
  device TEXT NOT NULL,
  run BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  model_digest TEXT NOT NULL,
  last_sequence BIGINT NOT NULL,
  periods BIGINT NOT NULL,
  looked_periods BIGINT NOT NULL,
  silent BIGINT NOT NULL,
  PRIMARY KEY (project, device)
);
CREATE INDEX device_runs_by_model ON device_runs (project, model_digest);
CREATE TABLE drift_looks (
  project TEXT NOT NULL,
  model_digest TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  look BIGINT NOT NULL,
  PRIMARY KEY (project, model_digest, epoch)
);
CREATE TABLE drift_reports (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  model_digest TEXT NOT NULL,
  verdict BIGINT NOT NULL,
  create_micros BIGINT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (project, number)
);
CREATE INDEX drift_reports_by_model ON drift_reports (project, model_digest, create_micros);
