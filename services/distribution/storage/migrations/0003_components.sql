-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0

-- What a device runs beside its model: a line each, "kind digest confirmed release_sequence".
ALTER TABLE device_states ADD COLUMN components TEXT NOT NULL DEFAULT '';

-- What a release consists of: a line each, "kind digest version".
ALTER TABLE rollouts ADD COLUMN components TEXT NOT NULL DEFAULT '';
UPDATE rollouts SET components = 'model ' || model_digest || ' ';
