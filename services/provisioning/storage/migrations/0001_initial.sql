-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Times are Unix microseconds. Attributes are lines of key=value, and neither half can hold a line break.
CREATE TABLE projects (
  id TEXT PRIMARY KEY,
  display_name TEXT NOT NULL,
  create_micros BIGINT NOT NULL
);

CREATE TABLE enrollment_tokens (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL REFERENCES projects (id),
  secret_digest TEXT NOT NULL,
  hardware_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  attributes TEXT NOT NULL,
  expire_micros BIGINT NOT NULL,
  create_micros BIGINT NOT NULL,
  revoked INTEGER NOT NULL,
  used_by TEXT NOT NULL,
  key_digest TEXT NOT NULL
);
CREATE INDEX enrollment_tokens_newest ON enrollment_tokens (project, create_micros, id);

CREATE TABLE devices (
  project TEXT NOT NULL REFERENCES projects (id),
  id TEXT NOT NULL,
  hardware_id TEXT NOT NULL,
  attributes TEXT NOT NULL,
  revoked INTEGER NOT NULL,
  revoke_reason TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  certificate_expire_micros BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX devices_revision ON devices (revision);

-- One row. Whoever changes a device takes the next number here first, so numbers are committed in order.
CREATE TABLE device_revision (
  value BIGINT NOT NULL
);
INSERT INTO device_revision (value) VALUES (0);

-- expire_micros 0 is never, an empty project is all.
CREATE TABLE api_tokens (
  id TEXT PRIMARY KEY,
  secret_digest TEXT NOT NULL,
  display_name TEXT NOT NULL,
  role INTEGER NOT NULL,
  project TEXT NOT NULL,
  expire_micros BIGINT NOT NULL,
  revoked INTEGER NOT NULL,
  create_micros BIGINT NOT NULL
);
