// Integration and end-to-end tests start real processes; a single test that takes longer than this is broken.
jest.setTimeout(120_000);
