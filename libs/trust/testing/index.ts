/** Helpers for tests of signatures: a repository in memory, what real cosign wrote, and real cosign itself. */
export { COSIGN_PINS, Cosign, REGISTRY_PIN, findRegistryProgram, findTool, run } from './cosign';
export type { Finished, Tool, ToolPin } from './cosign';
export { fixtureEvidence, readFixtures } from './fixtures';
export type { FixtureCase, FixtureIndex } from './fixtures';
export { MemoryEvidence } from './memory-evidence';
export { RegistryRepository, pushTestImage, startScratchRegistry } from './scratch-registry';
export type { ScratchRegistry, TestImage } from './scratch-registry';
