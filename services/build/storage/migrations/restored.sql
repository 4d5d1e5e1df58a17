-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- A device refuses a release with a lower sequence than one that it has confirmed.
UPDATE number_floor SET value = (SELECT MAX(given) + 1000 FROM (
  SELECT value AS given FROM number_floor UNION ALL SELECT sequence FROM releases) AS numbers);
-- What a run gets and gives back is not in a backup: its build makes another one.
DELETE FROM trainer_runs;
