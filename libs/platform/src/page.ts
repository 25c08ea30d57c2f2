import { requestProblem } from './problem';

/** One page of a list; `next` is the cursor of the following page, or null at the end. */
export interface Page<T> {
  items: T[];
  next: string | null;
}

/** An opaque cursor from the sort key of a page's last item. */
export function encodeCursor(key: string[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** The sort key in a cursor of `length` parts. @throws request.invalid when the cursor is not one of ours */
export function decodeCursor(cursor: string | undefined, length: number): string[] | null {
  if (cursor === undefined) return null;
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(key) && key.length === length && key.every((part) => typeof part === 'string' && !part.includes('\0'))) return key as string[];
  } catch {
    // falls through to the one refusal below
  }
  throw requestProblem('invalid', { errors: [{ pointer: 'query/cursor', detail: 'not a cursor of this list; leave it out to start from the beginning' }] });
}

/** Cuts `limit + 1` fetched rows down to a page. */
export function toPage<T>(rows: T[], limit: number, key: (item: T) => string[]): Page<T> {
  const items = rows.slice(0, limit);
  const last = items[items.length - 1];
  return { items, next: rows.length > limit && last !== undefined ? encodeCursor(key(last)) : null };
}
