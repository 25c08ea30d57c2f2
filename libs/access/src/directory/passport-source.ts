import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import { createRequire } from 'node:module';
import { connect as dial, type Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import Strategy from 'passport-ldapauth';
import { accessProblem } from '../problems';
import { findPerson } from './ldapts-source';
import { connectionProblem, errorParts, judgeUserBind, makeEntry, silenceProblem, type Step } from './rules';
import { refuseDial } from './refuse-dial';
import { Budget, valuesOf } from './session';
import { endpointOf, personFilterText, tlsOptionsOf, wantedAttributes, type DirectorySettings } from './settings';
import { IdentitySource, type DirectoryEntry, type RefusalReason, type SignInOutcome } from './source';

type Answer = { kind: 'user'; entry: DirectoryEntry } | { kind: 'refused'; reason: RefusalReason } | { kind: 'error'; error: unknown };

/** The words we give the strategy to answer with: what they mean here. */
const closed = 'account-disabled';
const words = {
  invalidCredentials: 'wrong-credentials',
  userNotFound: 'wrong-credentials',
  noSuchObject: 'wrong-credentials',
  badRequestMessage: 'wrong-credentials',
  constraintViolation: closed,
  invalidLogonHours: closed,
  invalidWorkstation: closed,
  passwordExpired: closed,
  accountDisabled: closed,
  accountExpired: closed,
  passwordMustChange: closed,
  accountLockedOut: closed,
};

/**
 * Signs in through passport-ldapauth with its default ldapauth-fork, over ldap:// and ldaps://. Its "wrong password" also covers a refused
 * reader account, a missing search base and two people of one name, so that any answer but a user is explained by asking with ldapts.
 */
export class PassportSource extends IdentitySource {
  async authenticate(settings: DirectorySettings, username: string, password: string): Promise<SignInOutcome> {
    const budget = new Budget(settings.timeoutSeconds);
    const answer = await ask(settings, budget, username, password);
    if (answer.kind === 'user') return { ok: true, entry: answer.entry };

    const found = await findPerson(settings, budget, username);
    if (found === 'many') return { ok: false, reason: 'ambiguous' };
    if (found === 'none') return { ok: false, reason: 'wrong-credentials' };
    if (answer.kind === 'refused') return { ok: false, reason: answer.reason };
    return { ok: false, reason: judgeError(answer.error) };
  }
}

/** An error that the strategy passed on, when the reader account and the search are known to be right: it came from the user's bind. */
function judgeError(error: unknown): RefusalReason {
  const { code, message } = errorParts(error);
  if (typeof code === 'number') return judgeUserBind({ code, diagnostic: message });
  throw connectionProblem(error, 'user-bind');
}

/** The problem of an error about the connection, null for a server's answer. ldapjs gives its own troubles LDAP result codes too. */
function connectionTrouble(error: unknown, step: Step): Error | null {
  const { name, message, code } = errorParts(error);
  if (name === 'TimeoutError' || (name === 'ConnectionError' && message.includes('timeout'))) return silenceProblem(step);
  return name === 'ConnectionError' || typeof code === 'string' ? connectionProblem(error, step) : null;
}

async function ask(settings: DirectorySettings, budget: Budget, username: string, password: string): Promise<Answer> {
  const { host, port, tls } = endpointOf(settings);
  const timeoutMs = settings.timeoutSeconds * 1000;
  const sockets = new Set<Socket>();
  let over = false;
  let step: Step = 'connect';
  const conversation = new Promise<Answer>((resolve, reject) => {
    const fail = (error: unknown): void => {
      const trouble = connectionTrouble(error, step);
      if (trouble === null) resolve({ kind: 'error', error });
      else reject(trouble);
    };
    const strategy = new Strategy({
      server: {
        url: `${tls ? 'ldaps' : 'ldap'}://${host.includes(':') ? `[${host}]` : host}:${port}`,
        bindDN: settings.bindDn,
        bindCredentials: settings.bindPassword,
        searchBase: settings.searchBase,
        searchFilter: filterFor(settings, username),
        searchScope: settings.scope ?? 'sub',
        searchAttributes: wantedAttributes(settings),
        includeRaw: true,
        reconnect: false,
        timeout: timeoutMs,
        connectTimeout: timeoutMs,
        // A base that is no DN is for the server to refuse: ldapjs throws inside the socket's event.
        strictDN: false,
        ...(tls ? { tlsOptions: tlsOverOwnSocket(settings) } : {}),
      },
      credentialsLookup: () => ({ username, password }),
    });
    strategy.success = (user) => {
      try {
        resolve({ kind: 'user', entry: entryOf(settings, user) });
      } catch (error) {
        reject(error);
      }
    };
    strategy.fail = (challenge) => resolve({ kind: 'refused', reason: reasonOf(challenge) });
    strategy.error = fail;
    const track = (socket: Socket): void => {
      socket.on('error', fail);
      // ldapjs dials its second connection when it gets round to it, which on a busy machine is after the answer.
      if (over) {
        refuseDial(socket);
        return;
      }
      sockets.add(socket);
      socket.once('connect', () => (step = 'sign-in'));
    };
    try {
      openSockets.run(track, () => strategy.authenticate(null, words));
    } catch (error) {
      reject(error);
    }
  });
  try {
    return await budget.within('sign-in', conversation, 3);
  } finally {
    over = true;
    for (const socket of sockets) socket.destroy();
  }
}

// The strategy's own copy of ldapjs, found as Node finds it. What ldapjs throws while a socket's event is handled would end the process,
// so that two things which it throws at are dealt with before they reach it.
const inPackage = createRequire(require.resolve('passport-ldapauth'));
const inFork = createRequire(inPackage.resolve('ldapauth-fork'));
const { parseFilter } = inFork('ldapjs') as { parseFilter(text: string): unknown };
const ldapjsErrors = inFork('ldapjs/lib/errors') as {
  getError(result: { status: number; errorMessage: string }): Error;
  /** Empty for a result code that it has no error for. */
  getMessage(code: number): string;
};

// RFC 4511 §4.1.9: a result code that a client doesn't know is an error like others.
const namedError = ldapjsErrors.getError;
ldapjsErrors.getError = (result) =>
  ldapjsErrors.getMessage(result.status) === ''
    ? Object.assign(new Error(result.errorMessage), { code: result.status })
    : namedError(result);

// A client takes its listeners off a socket that closes, and the strategy then still says goodbye on the other client's: a write that fails after
// that has nobody to tell, which would end the process.
interface LdapjsClient {
  _socket: Socket | null;
  _onClose(hadError: boolean): void;
}
const ldapjsClient = (inFork('ldapjs/lib/client/client') as { prototype: LdapjsClient }).prototype;
const onClose = ldapjsClient._onClose;
ldapjsClient._onClose = function quietClose(this: LdapjsClient, hadError: boolean): void {
  const socket = this._socket;
  onClose.call(this, hadError);
  socket?.on('error', () => undefined);
};

/** The filter for the strategy. Throws `access.directory-misconfigured` for one that the strategy's own parser can't read. */
function filterFor(settings: DirectorySettings, username: string): string {
  const text = personFilterText(settings, username);
  try {
    parseFilter(text);
    return text;
  } catch (error) {
    throw accessProblem('directory-misconfigured', { detail: 'The filter is not an LDAP filter (RFC 4515).', cause: error });
  }
}

const openSockets = new AsyncLocalStorage<(socket: Socket) => void>();

// ldapauth-fork keeps its two connections to itself and only says goodbye on them: a server that went silent would hold them open for good.
// Node announces each socket that `net.connect` makes; the context tells whose it is.
subscribe('net.client.socket', (message) => {
  openSockets.getStore()?.((message as { socket: Socket }).socket);
});

/** Options for `tls.connect` that bring a socket of our own each time they are used, since it doesn't announce the one it would make. */
function tlsOverOwnSocket(settings: DirectorySettings): ConnectionOptions {
  const { host, port } = endpointOf(settings);
  return {
    ...tlsOptionsOf(settings),
    get socket() {
      return dial({ host, port });
    },
  };
}

function reasonOf(challenge: unknown): RefusalReason {
  const word = typeof challenge === 'object' && challenge !== null && 'message' in challenge ? challenge.message : null;
  return word === closed ? closed : 'wrong-credentials';
}

function entryOf(settings: DirectorySettings, user: unknown): DirectoryEntry {
  const { dn, _raw: raw } = user as { dn: string; _raw: Record<string, unknown> };
  return makeEntry(settings, dn, valuesOf(raw));
}
