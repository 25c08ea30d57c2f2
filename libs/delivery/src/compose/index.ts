/**
 * The Compose room: reads a Compose file for Swarm, turns it into engine objects, and compares them with what runs.
 * Pure: no network, no database, no clock. A deployment goes `parseCompose` → (policy over `hostAffecting` and
 * `externalObjects`) → `toSpecs` → fill in `ConfigID`/`SecretID` by name → `diffSpec` for the plan.
 */
export { parseCompose } from './parse';
export { defaultLimits, type ComposeLimits } from './tree';
export type { ComposeNotice, ComposeNoticeCode } from './notice';
export type * from './model';
export { canonical, ComposeSpecError, requiredValues, toSpecs } from './to-specs';
export type { DesiredState, NetworkCreateSpec, ServiceSpec, StoredObjectSpec, ToSpecsOptions } from './to-specs';
export { diffSpec, type CurrentSpec, type SpecChange } from './diff-spec';
export { externalObjects, hostAffecting, type ExternalObject, type HostAffecting, type HostOption } from './effective';
