import type { z } from 'zod';

/** A unit of background work, as a typed value that a room exports. Imperative name: `delivery.run-deployment`. */
export interface Job<P> {
  readonly type: 'job';
  readonly name: string;
  readonly schema: z.ZodType<P>;
  /** How often a failing handler is tried; default 5, exponential back-off from 1 s. */
  readonly attempts: number;
}

/** Something that happened, past tense: `registry.image-pushed`. Any number of subscribers, each tried on its own. */
export interface Event<P> {
  readonly type: 'event';
  readonly name: string;
  readonly schema: z.ZodType<P>;
}

const jobs = new Map<string, Job<unknown>>();
const events = new Map<string, Event<unknown>>();

/** Declares a job once. Payloads carry ids, never secrets. */
export function defineJob<P>(name: string, schema: z.ZodType<P>, options: { attempts?: number } = {}): Job<P> {
  if (jobs.has(name)) throw new Error(`job ${name} is declared twice`);
  const job: Job<P> = { type: 'job', name, schema, attempts: options.attempts ?? 5 };
  jobs.set(name, job);
  return job;
}

/** Declares an event once. */
export function defineEvent<P>(name: string, schema: z.ZodType<P>): Event<P> {
  if (events.has(name)) throw new Error(`event ${name} is declared twice`);
  const event: Event<P> = { type: 'event', name, schema };
  events.set(name, event);
  return event;
}

/** All declared jobs; `Worker` refuses to start unless each has exactly one handler. */
export function allJobs(): ReadonlyMap<string, Job<unknown>> {
  return jobs;
}

/** All declared events. */
export function allEvents(): ReadonlyMap<string, Event<unknown>> {
  return events;
}
