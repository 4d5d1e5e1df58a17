-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- Numbers that devices remember are given above this one: those that were given between a backup and its restore are
-- not known any more. One row.
CREATE TABLE number_floor (
  value BIGINT NOT NULL
);
INSERT INTO number_floor (value) VALUES (0);
