-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
ALTER TABLE builds ADD COLUMN trainer_id TEXT NOT NULL DEFAULT 'fieldloop-trainer';
ALTER TABLE builds ADD COLUMN history TEXT NOT NULL DEFAULT '';
ALTER TABLE builds ADD COLUMN candidates TEXT NOT NULL DEFAULT '';
CREATE INDEX builds_turns ON builds (project, start_micros);
