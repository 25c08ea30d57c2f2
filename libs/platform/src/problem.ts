/** Closed list of problem kinds and the HTTP status that each face answers with. */
export const problemStatus = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  'precondition-failed': 412,
  'too-large': 413,
  unprocessable: 422,
  'precondition-required': 428,
  'rate-limited': 429,
  'not-implemented': 501,
  unavailable: 503,
  internal: 500,
} as const;

/** A kind of `problemStatus`. */
export type ProblemKind = keyof typeof problemStatus;

/** One declared problem: what it means for the caller. `description` says the remedy. */
export interface ProblemDeclaration {
  kind: ProblemKind;
  title: string;
  description: string;
}

/** A field at fault: JSON pointer into the body, or `query/limit`, `path/app`, `header/if-match`. */
export interface FieldError {
  pointer: string;
  detail: string;
}

/** What a caller may add to a problem when throwing it. `detail` is shown to the client: never a secret, never a foreign error's text unless it is meant for the user. */
export interface ProblemOptions {
  detail?: string;
  errors?: FieldError[];
  /** Extra members of the answer, JSON values (for example `verdict`). */
  extra?: Record<string, unknown>;
  /** Response headers, for example `WWW-Authenticate` or `Retry-After`. */
  headers?: Record<string, string>;
  cause?: unknown;
}

/** The one error that libraries throw on purpose. Everything else that is thrown is `internal`. */
export class Problem extends Error {
  readonly kind: ProblemKind;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly errors: FieldError[];
  readonly extra: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(readonly code: string, declaration: ProblemDeclaration, options: ProblemOptions = {}) {
    super(`${code}: ${options.detail ?? declaration.description}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Problem';
    this.kind = declaration.kind;
    this.status = problemStatus[declaration.kind];
    this.title = declaration.title;
    this.detail = options.detail ?? declaration.description;
    this.errors = options.errors ?? [];
    this.extra = options.extra ?? {};
    this.headers = options.headers ?? {};
  }
}

const declared = new Map<string, ProblemDeclaration>();

/**
 * Declares a room's problems once. Returns a maker: `throw problem('tag-immutable', { detail })` throws code `registry.tag-immutable`.
 * Declaring a code twice is a programming error and throws at load.
 */
export function defineProblems<const T extends Record<string, ProblemDeclaration>>(room: string, declarations: T) {
  for (const [name, declaration] of Object.entries(declarations)) {
    const code = `${room}.${name}`;
    if (declared.has(code)) throw new Error(`problem ${code} is declared twice`);
    declared.set(code, declaration);
  }
  return (name: keyof T & string, options?: ProblemOptions): Problem => new Problem(`${room}.${name}`, declarations[name]!, options);
}

/** Every declared problem by code, for the documentation and the guard test. */
export function allProblems(): ReadonlyMap<string, ProblemDeclaration> {
  return declared;
}

/** Problems that belong to no room: requests as such. */
export const requestProblem = defineProblems('request', {
  invalid: { kind: 'invalid', title: 'The request is not valid', description: 'Correct the fields named in `errors` and send the request again.' },
  'not-found': { kind: 'not-found', title: 'Not found', description: 'There is nothing here, or you may not see it.' },
  forbidden: { kind: 'forbidden', title: 'Not allowed', description: 'You can see this, but may not do that with it. Ask an administrator of its owner.' },
  unauthenticated: { kind: 'unauthenticated', title: 'Sign in first', description: 'Send `Authorization: Bearer <token>` with a session or token that is still valid.' },
  'too-large': { kind: 'too-large', title: 'The request is too large', description: 'Send a smaller body.' },
  'precondition-required': { kind: 'precondition-required', title: 'If-Match is required', description: 'Read the object, then send its ETag in `If-Match`, so that nobody else’s change is lost.' },
  'precondition-failed': { kind: 'precondition-failed', title: 'The object has changed', description: 'Read the object again, and repeat your change on what it is now.' },
  'idempotency-conflict': { kind: 'conflict', title: 'This Idempotency-Key was used for another request', description: 'Use a new key for a new request.' },
  'rate-limited': { kind: 'rate-limited', title: 'Too many attempts', description: 'Wait as long as `Retry-After` says.' },
  'name-taken': { kind: 'conflict', title: 'The name is taken', description: 'Choose another name.' },
  unavailable: { kind: 'unavailable', title: 'A needed service does not answer', description: 'Try again in a moment; the operators see why in the log.' },
  internal: { kind: 'internal', title: 'Something went wrong here', description: 'The error was logged under the request id; give that id to the operators.' },
});
