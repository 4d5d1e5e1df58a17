// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Drives the uploader of the npm package edge-impulse-linux, which is installed in the folder of the
// first argument: reads a JSON list of uploads from standard input and writes a list of what became
// of each, null or the error's text.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { upload } = require(path.join(
    process.argv[2], 'node_modules', 'edge-impulse-linux', 'build', 'cli-common', 'make-image.js'));

async function main() {
    const { url, apiKey, uploads } = JSON.parse(fs.readFileSync(0, 'utf8'));
    const config = {
        endpoints: { internal: { ingestion: url } },
        api: { projects: { getProjectInfo: async () => ({ project: {} }) } },
    };
    const outcomes = [];
    for (const one of uploads) {
        try {
            await upload({
                config, apiKey, projectId: 1, category: one.category || 'split',
                filename: one.filename || path.basename(one.path),
                buffer: fs.readFileSync(one.path),
                label: one.label, metadata: one.metadata,
                allowDuplicates: one.allowDuplicates || false,
                addDateId: one.addDateId || false,
                boundingBoxes: one.boundingBoxes,
            });
            outcomes.push(null);
        } catch (error) {
            outcomes.push(error.message);
        }
    }
    process.stdout.write(JSON.stringify(outcomes));
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
