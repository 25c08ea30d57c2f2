export { dfFilter, eventsFilter, infoFilter, inspectFilter, listFilter, pruneFilter, redactFilter, type DfOptions, type EngineEvent, type InfoCounts, type InspectOptions, type ItemPath, type ListOptions, type PruneOptions, type UsageKind } from './filters';
export { containerForm, swarmForm, taskForm, type Form } from './leap';
export { EngineAnswerError } from './scan';
export { Verdicts } from './verdicts';
