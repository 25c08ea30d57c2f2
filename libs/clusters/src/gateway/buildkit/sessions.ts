import { Injectable } from '@nestjs/common';
import type { RawEngine } from '../../engine.raw';
import { clustersProblem } from '../../problems';
import type { GivenFile } from './file-sync';

/** What an engine may ask of a session while it builds. Everything else is answered as if the client did not have it. */
export interface SessionRules {
  /** Served in place of the client's folder `dockerfile`. */
  dockerfile: readonly GivenFile[];
  /** gRPC methods that go on to the client, as far as it has them. */
  methods: ReadonlySet<string>;
  /** By which the engine knows a folder again that it has fetched before. */
  sharedKey: string;
  /** Path with the version prefix. */
  target: string;
}

/** A session of BuildKit that a client has opened: the client answers, whoever holds this asks. Made by who carries its bytes. */
export interface BuildSession {
  /** How the client calls the folder, the same from build to build. */
  readonly sharedKey: string;
  /** Whether it is over. */
  readonly isOver: boolean;
  /**
   * Fetches files of a folder that the client offers; those that are not there are left out.
   * @throws clusters.spec-invalid where one is no plain file or too long, or the client does not speak as it should
   */
  fetch(folder: string, paths: readonly string[], maxBytes: number, signal: AbortSignal): Promise<Map<string, Buffer>>;
  /** Opens a session of our own on the engine, through which it may ask this one as the rules say. @throws clusters.engine-failed, clusters.unreachable */
  open(engine: RawEngine, rules: SessionRules, signal: AbortSignal): Promise<OpenSession>;
  /** Ends it, and with it whatever goes on through it. */
  end(): void;
}

/** A session as the engine knows it. */
export interface OpenSession {
  id: string;
  close(): void;
}

/** Whose session it is: accounts and clusters do not see each other's. */
export interface SessionKey {
  accountId: string;
  clusterId: string;
  /** `X-Docker-Expose-Session-Uuid` */
  id: string;
}

/** Open sessions of one account. */
const maxSessions = 16;
/** A session in which nothing is built for so long is ended; milliseconds. */
const idleMillis = 120_000;
/** Clients open session and build at the same time: so long a build waits for its session. */
const arrivalMillis = 5_000;
/** So long a session whose build was refused is waited for, and so long it then lasts. */
const refusedMillis = 30_000;
const endingMillis = 1_000;
const maxRefused = 10_000;
const idForm = /^[A-Za-z0-9._-]{1,64}$/;

interface Held {
  session: BuildSession;
  builds: number;
  timer: NodeJS.Timeout | undefined;
}

/** gRPC methods of a client that an engine may call in every build: the build context. */
const always = ['/moby.filesync.v1.FileSync/DiffCopy', '/moby.filesync.v1.FileSync/TarStream', '/moby.buildkit.secrets.v1.Secrets/GetSecret', '/moby.sshforward.v1.SSH/CheckAgent', '/moby.sshforward.v1.SSH/ForwardAgent'];
/** Where the result goes back to the client's disk. */
const sending = ['/moby.filesync.v1.FileSend/DiffCopy'];

/**
 * The methods that an engine may call. Not among them: `moby.filesync.v1.Auth`, by which it would get the person's credentials for registries.
 * @param sends the build's result is written by the client
 */
export function sessionMethods(sends: boolean): Set<string> {
  return new Set(sends ? [...always, ...sending] : always);
}

/**
 * The sessions of BuildKit that are open in this process. A build finds its own by the id that the client has chosen: ids of others, and of
 * other clusters, are as unknown ones.
 */
@Injectable()
export class BuildSessions {
  private readonly held = new Map<string, Held>();
  private readonly waiting = new Map<string, Set<() => void>>();
  private readonly counts = new Map<string, number>();
  private readonly refused = new Map<string, NodeJS.Timeout>();

  /**
   * Judges the id that a client gives its session, before anything is opened.
   * @throws clusters.spec-invalid, clusters.name-claimed, clusters.call-forbidden
   */
  check(key: SessionKey): void {
    if (!idForm.test(key.id)) throw clustersProblem('spec-invalid', { detail: 'A session of BuildKit names itself.', errors: [{ pointer: 'header/x-docker-expose-session-uuid', detail: 'up to 64 letters, digits, dots and dashes' }] });
    if (this.held.has(nameOf(key))) throw clustersProblem('name-claimed', { detail: 'A session of this name is open.' });
    if ((this.counts.get(key.accountId) ?? 0) >= maxSessions) throw clustersProblem('call-forbidden', { detail: `You have ${maxSessions} sessions of BuildKit open; end one.` });
  }

  /** Keeps a session until what it answers is called. @throws as `check` */
  keep(key: SessionKey, session: BuildSession): () => void {
    this.check(key);
    const name = nameOf(key);
    const held: Held = { session, builds: 0, timer: undefined };
    this.held.set(name, held);
    this.counts.set(key.accountId, (this.counts.get(key.accountId) ?? 0) + 1);
    this.rest(held);
    for (const arrived of this.waiting.get(name) ?? []) arrived();
    if (this.refused.has(name)) this.endSoon(held);
    let isKept = true;
    return () => {
      if (!isKept) return;
      isKept = false;
      clearTimeout(held.timer);
      this.held.delete(name);
      const left = (this.counts.get(key.accountId) ?? 1) - 1;
      if (left > 0) this.counts.set(key.accountId, left);
      else this.counts.delete(key.accountId);
    };
  }

  /**
   * A session for one build, kept from being ended as idle until `done`. Waits a moment for one that is about to be opened.
   * @throws clusters.no-such-object
   */
  async take(key: SessionKey, signal: AbortSignal): Promise<{ session: BuildSession; done: () => void }> {
    const name = nameOf(key);
    if (!this.held.has(name)) await this.arrival(name, signal);
    const held = this.held.get(name);
    if (!held || held.session.isOver) throw clustersProblem('no-such-object', { detail: 'There is no such session of BuildKit of yours: it ended, or never was.' });
    held.builds += 1;
    clearTimeout(held.timer);
    let isDone = false;
    return {
      session: held.session,
      done: () => {
        if (isDone) return;
        isDone = true;
        held.builds -= 1;
        if (held.builds === 0 && this.held.get(name) === held) this.rest(held);
      },
    };
  }

  /** Ends a session soon, also one that is about to be opened: its build was refused. */
  refuse(key: SessionKey): void {
    const name = nameOf(key);
    const held = this.held.get(name);
    if (held) {
      this.endSoon(held);
      return;
    }
    if (this.refused.size >= maxRefused) return;
    clearTimeout(this.refused.get(name));
    const timer = setTimeout(() => this.refused.delete(name), refusedMillis);
    timer.unref();
    this.refused.set(name, timer);
  }

  /** Not at once: the answer to the build is on its way. */
  private endSoon({ session }: Held): void {
    setTimeout(() => session.end(), endingMillis).unref();
  }

  private rest(held: Held): void {
    held.timer = setTimeout(() => held.session.end(), idleMillis);
    held.timer.unref();
  }

  private arrival(name: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.waiting.get(name) ?? new Set();
      this.waiting.set(name, waiters);
      const over = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', over);
        waiters.delete(over);
        if (waiters.size === 0 && this.waiting.get(name) === waiters) this.waiting.delete(name);
        resolve();
      };
      const timer = setTimeout(over, arrivalMillis);
      signal.addEventListener('abort', over, { once: true });
      waiters.add(over);
      if (signal.aborted) over();
    });
  }
}

function nameOf({ accountId, clusterId, id }: SessionKey): string {
  return `${accountId} ${clusterId} ${id}`;
}
