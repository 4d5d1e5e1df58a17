-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Lists of texts (axes, flags) are joined by line feeds, which no entry contains. Numbers of enums are
-- those of domain/sample.h. Times are Unix microseconds.

CREATE TABLE samples (
  project TEXT NOT NULL,
  sample_id TEXT NOT NULL,
  file_name TEXT NOT NULL,
  format INTEGER NOT NULL,
  digest TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  canonical_digest TEXT NOT NULL,
  axes TEXT NOT NULL,
  readings BIGINT NOT NULL,
  frequency_hz DOUBLE PRECISION NOT NULL,
  resampling TEXT NOT NULL,
  split INTEGER NOT NULL,
  source INTEGER NOT NULL,
  device TEXT NOT NULL,
  model_digest TEXT NOT NULL,
  reason TEXT NOT NULL,
  probability DOUBLE PRECISION NOT NULL,
  predicted_label TEXT NOT NULL,
  confidence DOUBLE PRECISION NOT NULL,
  start_micros BIGINT NOT NULL,
  flags TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  label_number BIGINT NOT NULL,
  labelled INTEGER NOT NULL,
  PRIMARY KEY (project, sample_id)
);
CREATE INDEX samples_by_time ON samples (project, create_micros, sample_id);
CREATE INDEX samples_by_device ON samples (project, device);

CREATE TABLE sample_metadata (
  project TEXT NOT NULL,
  sample_id TEXT NOT NULL,
  meta_key TEXT NOT NULL,
  meta_value TEXT NOT NULL,
  PRIMARY KEY (project, sample_id, meta_key)
);

CREATE TABLE labels (
  project TEXT NOT NULL,
  sample_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  author TEXT NOT NULL,
  source TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, sample_id, number)
);

CREATE TABLE label_ranges (
  project TEXT NOT NULL,
  sample_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  start_reading BIGINT NOT NULL,
  end_reading BIGINT NOT NULL,
  label TEXT NOT NULL,
  PRIMARY KEY (project, sample_id, number, start_reading)
);

CREATE TABLE split_keys (
  project TEXT NOT NULL,
  key_name TEXT NOT NULL,
  key_value TEXT NOT NULL,
  split INTEGER NOT NULL,
  PRIMARY KEY (project, key_name, key_value)
);

CREATE TABLE device_uplinks (
  project TEXT NOT NULL,
  device TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  sample_id TEXT NOT NULL,
  PRIMARY KEY (project, device, sequence)
);

CREATE TABLE datasets (
  project TEXT NOT NULL,
  dataset_id TEXT NOT NULL,
  label_state INTEGER NOT NULL,
  split INTEGER NOT NULL,
  source INTEGER NOT NULL,
  has_created_after INTEGER NOT NULL,
  created_after_micros BIGINT NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, dataset_id)
);

CREATE TABLE dataset_filter_terms (
  project TEXT NOT NULL,
  dataset_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  position INTEGER NOT NULL,
  term_key TEXT NOT NULL,
  term_value TEXT NOT NULL,
  PRIMARY KEY (project, dataset_id, kind, position)
);

CREATE TABLE dataset_versions (
  project TEXT NOT NULL,
  dataset_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  digest TEXT NOT NULL,
  sample_count BIGINT NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, dataset_id, number)
);

CREATE TABLE dataset_version_readings (
  project TEXT NOT NULL,
  dataset_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  split INTEGER NOT NULL,
  label TEXT NOT NULL,
  readings BIGINT NOT NULL,
  PRIMARY KEY (project, dataset_id, number, split, label)
);

CREATE TABLE dataset_version_samples (
  project TEXT NOT NULL,
  dataset_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  digest TEXT NOT NULL,
  sample_id TEXT NOT NULL,
  split INTEGER NOT NULL,
  label_number BIGINT NOT NULL,
  PRIMARY KEY (project, dataset_id, number, digest)
);
