// Integration and end-to-end tests start real processes; a single test that takes longer than this, on a machine ten times slower too, is broken.
jest.setTimeout(300_000);
