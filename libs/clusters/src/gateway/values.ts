import type { Value } from '../engine-api/shape';

/** An object as bodies are read: without a prototype, so that no key means more than what stands there. */
export function isPlain(value: object): value is Record<string, Value> {
  return Object.getPrototypeOf(value) === null;
}

/** Whether a value is an object of a body that was read. */
export const isObject = (value: Value): value is Record<string, Value> => typeof value === 'object' && value !== null && !Array.isArray(value) && isPlain(value);

/** An object to be written into a body. */
export const plain = (members: Record<string, Value>): Value => Object.assign(Object.create(null) as Record<string, Value>, members);

/** A member of an object of a body that was read; null where there is none. */
export const memberOf = (value: Value, name: string): Value => (isObject(value) ? (value[name] ?? null) : null);

/** A member that is a string, of any object, one that an engine answered included; null where there is none. */
export function memberText(from: Value, name: string): string | null {
  const member = typeof from === 'object' && from !== null && !Array.isArray(from) ? (from as Record<string, Value>)[name] : undefined;
  return typeof member === 'string' ? member : null;
}

const stepsOf = (pointer: string): string[] => pointer.split('/').slice(1).map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));

/** The string at a JSON pointer; null where there is none. */
export function textAt(body: Value, pointer: string): string | null {
  const found = stepsOf(pointer).reduce<Value>((at, step) => (Array.isArray(at) ? (at[Number(step)] ?? null) : memberOf(at, step)), body);
  return typeof found === 'string' ? found : null;
}

/** Writes a string at a JSON pointer that the ruling itself named. */
export function put(body: Value, pointer: string, text: string): void {
  const steps = stepsOf(pointer);
  const last = steps.pop();
  let at: Value = body;
  for (const step of steps) at = (at as Record<string, Value>)[step] ?? null;
  if (last === undefined || typeof at !== 'object' || at === null || !(last in at)) throw new Error(`nothing at ${pointer} to write to`);
  (at as Record<string, Value>)[last] = text;
}
