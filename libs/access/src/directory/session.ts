import { connect as dial, type Socket } from 'node:net';
import { connect as dialTls } from 'node:tls';
import { Client, ResultCodeError, type Entry, type Filter, type SearchResult } from 'ldapts';
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

/** The time that work may take: `timeoutSeconds` for each step; for a whole sign-in or test three times as much, for a synchronisation no bound. */
export class Budget {
  private readonly endsAt: number;

  constructor(private readonly seconds: number, total = seconds * 3) {
    this.endsAt = performance.now() + total * 1000;
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
    private readonly socket: Socket,
  ) {}

  /**
   * Connects, encrypts as the settings say, runs `use`, and closes the connection.
   * Throws `access.directory-unavailable` and `access.directory-misconfigured`; refusals that `use` doesn't catch become one of them.
   */
  static async use<T>(settings: DirectorySettings, budget: Budget, use: (session: Session) => Promise<T>): Promise<T> {
    let session: Session | null = null;
    try {
      session = await Session.open(settings, budget);
      const result = await use(session);
      await session.leave();
      return result;
    } catch (error) {
      throw error instanceof RefusedStep ? resultProblem(error, error.step) : error;
    } finally {
      session?.socket.destroy();
    }
  }

  /** Connects and encrypts as the settings say; `close` ends it. Throws as `use` does, and `RefusedStep` for a refused StartTLS. */
  static async open(settings: DirectorySettings, budget: Budget): Promise<Session> {
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
      const session = new Session(settings, client, budget, opened);
      if (settings.startTls) await session.run('start-tls', () => client.startTLS(tlsOptionsOf(settings)));
      return session;
    } catch (error) {
      opened.destroy();
      throw error;
    }
  }

  /** Says goodbye and ends the connection, whatever state it is in. */
  async close(): Promise<void> {
    if (!this.socket.destroyed) await this.leave();
    this.socket.destroy();
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
  async findPerson(username: string, settings = this.settings): Promise<DirectoryEntry | 'none' | 'many'> {
    try {
      const { searchEntries } = await this.run('search', () =>
        this.client.search(settings.searchBase, this.searchFor(personFilter(settings, username), settings)),
      );
      if (searchEntries.length > 1) return 'many';
      const entry = searchEntries[0];
      return entry === undefined ? 'none' : makeEntry(settings, entry.dn, valuesOf(entry));
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

  /**
   * All entries that match, or an error: a page that is missing, a limit of the server and a base elsewhere (referral) never look like a short list.
   * `references` counts the places on other servers that were pointed to within the subtree; they are not followed. Throws `RefusedStep`.
   */
  async search(base: string, options: { scope: 'base' | 'one' | 'sub'; filter?: Filter; attributes: string[]; pageSize?: number | null }): Promise<{ entries: Entry[]; references: number }> {
    const { pageSize = null, ...wanted } = options;
    const request = { ...wanted, explicitBufferAttributes: ['objectGUID'] };
    const entries: Entry[] = [];
    let references = 0;
    const take = (result: SearchResult): void => {
      for (const entry of result.searchEntries) entries.push(entry);
      references += result.searchReferences.length;
    };
    if (pageSize === null) {
      take(await this.run('search', () => this.client.search(base, request)));
      return { entries, references };
    }
    const pages = this.client.searchPaginated(base, { ...request, paged: { pageSize } });
    for (;;) {
      const page = await this.run('search', () => pages.next());
      if (page.done) return { entries, references };
      take(page.value);
    }
  }

  private searchFor(filter: Filter, settings = this.settings) {
    return { scope: settings.scope ?? ('sub' as const), filter, attributes: wantedAttributes(settings), explicitBufferAttributes: ['objectGUID'] };
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
