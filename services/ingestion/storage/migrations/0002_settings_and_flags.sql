-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Durations are microseconds; 0 is none. The units of a sample's axes are joined like the axes.

ALTER TABLE samples ADD COLUMN units TEXT NOT NULL DEFAULT '';
ALTER TABLE samples ADD COLUMN split_group TEXT NOT NULL DEFAULT '';
ALTER TABLE datasets ADD COLUMN has_created_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE datasets ADD COLUMN created_before_micros BIGINT NOT NULL DEFAULT 0;

CREATE TABLE settings (
  project TEXT NOT NULL,
  frequency_hz DOUBLE PRECISION NOT NULL,
  strict_signatures INTEGER NOT NULL,
  signature_key TEXT NOT NULL,
  min_seconds DOUBLE PRECISION NOT NULL,
  max_seconds DOUBLE PRECISION NOT NULL,
  retain_unlabelled_micros BIGINT NOT NULL,
  retain_labelled_micros BIGINT NOT NULL,
  retain_bytes BIGINT NOT NULL,
  split_key TEXT NOT NULL,
  PRIMARY KEY (project)
);

CREATE TABLE settings_units (
  project TEXT NOT NULL,
  axis TEXT NOT NULL,
  units TEXT NOT NULL,
  PRIMARY KEY (project, axis)
);
