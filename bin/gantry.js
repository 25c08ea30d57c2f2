#!/usr/bin/env node
// The operator's command; see `gantry --help`.
require('../dist/apps/cli/src/main.js').main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`gantry: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
