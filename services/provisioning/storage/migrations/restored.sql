-- Copyright the Fieldloop authors.
-- SPDX-License-Identifier: Apache-2.0
-- A token that was open at the backup may have let a device in since, and would do it once more.
UPDATE enrollment_tokens SET revoked = 1 WHERE used_by = '';
