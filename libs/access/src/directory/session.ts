import { connect as dial, type Socket } from 'node:net';
import { connect as dialTls } from 'node:tls';
import { Client, ResultCodeError, type Entry, type Filter } from 'ldapts';
import { connectionProblem, makeEntry, resultProblem, silenceProblem, type AttributeValues, type ResultFailure, type Step } from './rules';
import { endpointOf, personFilter, tlsOptionsOf, wantedAttributes, type DirectorySettings } from './settings';
import type { DirectoryEntry } from './source';

const sizeLimitExceeded = 4;

/** The server answered, and its answer is not success. */
export class RefusedStep extends Error implements ResultFailure {
  constructor(
    readonly step: Step,
    readonly code: number,
    readonly diagnostic: string,
  ) {
    super(`LDAP result ${code} at ${step}`);
  }
}

/** The time that one sign-in or test may take: `timeoutSeconds` for each step, three times as much for all. */
export class Budget {
  private readonly endsAt: number;

  constructor(private readonly seconds: number) {
    this.endsAt = performance.now() + seconds * 3000;
  }

  /** Settles as `work` does, or throws `access.directory-unavailable` when the time of its steps or the whole time is over. */
  async within<T>(step: Step, work: Promise<T>, steps = 1): Promise<T> {
    const leftMs = Math.max(0, Math.min(this.seconds * 1000 * steps, this.endsAt - performance.now()));
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(silenceProblem(step)), leftMs);
    });
    try {
      return await Promise.race([work, silence]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * One connection to a directory, for one operation. ldapts dials again by itself after a loss — unbound, and in clear text where
 * StartTLS was — so it is given one finished socket and nothing to dial with, and the socket is destroyed at the end in any case.
 */
export class Session {
  private constructor(
    private readonly settings: DirectorySettings,
    private readonly client: Client,
    private readonly budget: Budget,
  ) {}

  /**
   * Connects, encrypts as the settings say, runs `use`, and closes the connection.
   * Throws `access.directory-unavailable` and `access.directory-misconfigured`; refusals that `use` doesn't catch become one of them.
   */
  static async use<T>(settings: DirectorySettings, budget: Budget, use: (session: Session) => Promise<T>): Promise<T> {
    let socket: Socket | null = openSocket(settings);
    const opened = socket;
    // A socket error after the last answer has nobody to tell it to.
    opened.on('error', () => undefined);
    try {
      await budget.within('connect', connected(opened));
      const { host, port } = endpointOf(settings);
      const client = new Client({
        url: `ldap://${host.includes(':') ? `[${host}]` : host}:${port}`,
        createConnection: () => {
          if (socket === null) throw new Error('the connection was lost');
          const once = socket;
          socket = null;
          return once;
        },
      });
      const session = new Session(settings, client, budget);
      if (settings.startTls) await session.run('start-tls', () => client.startTLS(tlsOptionsOf(settings)));
      const result = await use(session);
      await session.leave();
      return result;
    } catch (error) {
      throw error instanceof RefusedStep ? resultProblem(error, error.step) : error;
    } finally {
      opened.destroy();
    }
  }

  /** Binds as the reader account. Throws `RefusedStep`. */
  async bindReader(): Promise<void> {
    await this.run('reader-bind', () => this.client.bind(this.settings.bindDn, this.settings.bindPassword));
  }

  /** Binds as a person who was found. Throws `RefusedStep`. */
  async bindUser(dn: string, password: string): Promise<void> {
    await this.run('user-bind', () => this.client.bind(dn, password));
  }

  /** The people whose name is `username`: none, one, or `many` (nobody in particular). References to other servers are not followed. */
  async findPerson(username: string): Promise<DirectoryEntry | 'none' | 'many'> {
    try {
      const { searchEntries } = await this.run('search', () =>
        this.client.search(this.settings.searchBase, this.searchFor(personFilter(this.settings, username))),
      );
      if (searchEntries.length > 1) return 'many';
      const entry = searchEntries[0];
      return entry === undefined ? 'none' : makeEntry(this.settings, entry.dn, valuesOf(entry));
    } catch (error) {
      if (error instanceof RefusedStep && error.code === sizeLimitExceeded) return 'many';
      throw error;
    }
  }

  /** Counts matching entries, at most `limit` or as many as the server is willing to list, and hands the first to `look`. */
  async count(filter: Filter, limit: number, look: (entry: Entry) => void): Promise<number> {
    let entries = 0;
    const pages = this.client.searchPaginated(this.settings.searchBase, { ...this.searchFor(filter), paged: { pageSize: 100 } });
    try {
      for (;;) {
        const page = await this.run('search', () => pages.next());
        if (page.done) return entries;
        const first = page.value.searchEntries[0];
        if (entries === 0 && first !== undefined) look(first);
        entries += page.value.searchEntries.length;
        if (entries >= limit) return limit;
      }
    } catch (error) {
      // A server's size limit also ends paged searches; it doesn't hinder the search for one person.
      if (error instanceof RefusedStep && error.code === sizeLimitExceeded) return entries;
      throw error;
    }
  }

  private searchFor(filter: Filter) {
    return { scope: 'sub' as const, filter, attributes: wantedAttributes(this.settings), explicitBufferAttributes: ['objectGUID'] };
  }

  private async run<T>(step: Step, work: () => Promise<T>): Promise<T> {
    // Awaited inside, so that what ldapts throws at once and what it rejects with later are one.
    const settled = (async () => {
      try {
        return await work();
      } catch (error) {
        if (error instanceof ResultCodeError) throw new RefusedStep(step, error.code, error.message);
        throw connectionProblem(error, step);
      }
    })();
    return this.budget.within(step, settled);
  }

  /** Says goodbye; the answer is already known, so that a failure here changes nothing. */
  private async leave(): Promise<void> {
    await this.client.unbind().catch(() => undefined);
  }
}

/** Looks attributes up by name, without regard to case. One value may be bare, several are an array, none may be an empty one. */
export function valuesOf(attributes: Readonly<Record<string, unknown>>): (name: string) => AttributeValues {
  const byName = new Map(Object.entries(attributes).map(([name, value]) => [name.toLowerCase(), value]));
  return (name) => {
    const value = byName.get(name.toLowerCase());
    const values = (Array.isArray(value) ? value : [value]) as unknown[];
    return {
      text: values.flatMap((v) => (typeof v === 'string' ? [v] : Buffer.isBuffer(v) ? [v.toString('utf8')] : [])),
      bytes: values.flatMap((v) => (Buffer.isBuffer(v) ? [v] : [])),
    };
  };
}

function openSocket(settings: DirectorySettings): Socket {
  const { host, port, tls } = endpointOf(settings);
  return tls ? dialTls({ ...tlsOptionsOf(settings), host, port }) : dial({ host, port });
}

async function connected(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: unknown): void => reject(connectionProblem(error, 'connect'));
    socket.once('error', fail);
    socket.once('close', () => fail(null));
    socket.once('secureConnect', resolve);
    // A TLS socket says `connect` as well, before its handshake.
    if (!('encrypted' in socket)) socket.once('connect', resolve);
  });
}
