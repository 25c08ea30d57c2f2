import type { StrictJson, StrictJsonObject } from '@gantry/platform';

/** What a JSON text may hold, as the strict parser reads it. */
export type JsonValue = StrictJson;

/** A JSON object; a key that is absent reads as undefined. */
export type JsonObject = StrictJsonObject;

/** The value as an object, or null when it is anything else. */
export function asObject(value: JsonValue | undefined): JsonObject | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
}

/** The value as a list of objects, or null when it is anything else or holds anything else. */
export function asObjects(value: JsonValue | undefined): JsonObject[] | null {
  if (!Array.isArray(value)) return null;
  const objects = value.map((item) => asObject(item));
  return objects.every((item) => item !== null) ? objects : null;
}
