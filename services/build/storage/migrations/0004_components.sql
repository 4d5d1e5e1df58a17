-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Firmware images and configurations; kinds are numbered as in fieldloop.agent.v1.ComponentKind.
CREATE TABLE artifacts (
  project TEXT NOT NULL,
  number BIGINT NOT NULL,
  kind INTEGER NOT NULL,
  version TEXT NOT NULL,
  digest TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  author TEXT NOT NULL,
  create_micros BIGINT NOT NULL,
  PRIMARY KEY (project, number)
);
CREATE UNIQUE INDEX artifacts_version ON artifacts (project, kind, version);
CREATE INDEX artifacts_digest ON artifacts (project, digest);

-- Artifacts of a release; 0: none, as of model from now on.
ALTER TABLE releases ADD COLUMN configuration BIGINT NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN firmware BIGINT NOT NULL DEFAULT 0;
