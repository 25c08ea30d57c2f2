import { Audit, AuditKey } from '@gantry/audit';
import { Leases, Outbox, SystemClock, uuidv7, type Actor, type Clock, type Config, type Context, type Db, makeContext } from '@gantry/platform';
import { testConfig, testContext, testLogger, testSealer } from '@gantry/platform/testing';
import { generateKeyPairSync } from 'node:crypto';
import { Access } from '../src/access';
import { Accounts } from '../src/accounts';
import { actorOf, Authenticator } from '../src/authenticator';
import { Authorities } from '../src/authorities';
import { ClientCertificates } from '../src/client-certificates';
import { Collections } from '../src/collections';
import { Credentials } from '../src/credentials';
import { DirectoryClient } from '../src/directory';
import { DirectoryPeople } from '../src/directory-people';
import { Directory } from '../src/directory-settings';
import { DirectorySync } from '../src/directory-sync';
import { DirectoryTargets } from '../src/directory-targets';
import type { Account } from '../src/entities';
import { GatewayCertificate } from '../src/gateway-certificate';
import { Grants } from '../src/grants';
import { Review } from '../src/review';
import { Roles } from '../src/roles';
import { SecondFactors } from '../src/second-factors';
import { Sessions } from '../src/sessions';
import { SignInLimits } from '../src/sign-in-limits';
import { Teams } from '../src/teams';
import { Tokens } from '../src/tokens';

export * from './authenticator';

/** The services of audit and access on one database, as one process has them. */
export interface AccessStack {
  audit: Audit;
  access: Access;
  accounts: Accounts;
  secondFactors: SecondFactors;
  sessions: Sessions;
  tokens: Tokens;
  authenticator: Authenticator;
  certificates: ClientCertificates;
  gatewayCertificate: GatewayCertificate;
  directory: Directory;
  directorySync: DirectorySync;
  directoryTargets: DirectoryTargets;
  teams: Teams;
  roles: Roles;
  grants: Grants;
  collections: Collections;
  review: Review;
  /** Stops following changes; call it before the database closes. */
  close(): Promise<void>;
}

/** Makes and starts the stack. The database needs `auditEntities` and `accessEntities`. */
export async function makeAccess(
  db: Db,
  options: { clock?: Clock; config?: Config; auditKeyPem?: string | null; directorySync?: typeof DirectorySync } = {},
): Promise<AccessStack> {
  const clock = options.clock ?? new SystemClock();
  const config = options.config ?? testConfig();
  const sealer = testSealer();
  const audit = new Audit(db, clock, AuditKey.fromPem(options.auditKeyPem === undefined ? testAuditKey() : options.auditKeyPem));
  const access = new Access(db, testLogger());
  const limits = new SignInLimits(db, clock);
  const accounts = new Accounts(db, clock, access, audit, limits, config, testLogger());
  const directory = new Directory(db, clock, sealer, access, audit, new DirectoryClient());
  const people = new DirectoryPeople(db, clock, accounts, audit);
  const secondFactors = new SecondFactors(db, clock, sealer, access, accounts, audit, limits);
  const credentials = new Credentials(db, accounts, directory, people, secondFactors, limits, audit);
  const sessions = new Sessions(db, clock, sealer, access, audit, accounts, credentials, secondFactors, limits, config);
  const tokens = new Tokens(db, clock, sealer, access, accounts, audit, config);
  const authorities = new Authorities(db, clock, sealer);
  const certificates = new ClientCertificates(db, clock, access, accounts, authorities, audit, config);
  const gatewayCertificate = new GatewayCertificate(clock, authorities, config);
  const authenticator = new Authenticator(db, clock, sealer, access, credentials, certificates, config);
  const teams = new Teams(db, clock, access, accounts, audit);
  const roles = new Roles(db, clock, access, audit);
  const grants = new Grants(db, clock, access, accounts, teams, roles, audit);
  const collections = new Collections(db, clock, access, audit);
  const review = new Review(db, access, grants, roles, audit);
  const directoryTargets = new DirectoryTargets(db, clock, accounts, teams, audit);
  const directorySync = new (options.directorySync ?? DirectorySync)(db, clock, accounts, teams, directory, people, directoryTargets, audit, new Outbox(db), new Leases(db), testLogger());
  await access.start();
  return {
    audit, access, accounts, secondFactors, sessions, tokens, authenticator, certificates, gatewayCertificate, directory, directorySync, directoryTargets, teams, roles, grants, collections, review,
    close: async () => {
      authenticator.onModuleDestroy();
      await access.onModuleDestroy();
      await audit.onModuleDestroy();
    },
  };
}

/** PEM of a new Ed25519 private key. */
export function testAuditKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Makes a local user with a password (`<name>-password-1`) and gives a context in which it acts. */
export async function makeUser(stack: AccessStack, name: string, options: { admin?: boolean } = {}): Promise<{ account: Account; ctx: Context; password: string }> {
  const password = `${name}-password-1`;
  const account = await stack.accounts.createUser(testContext(), { name, password, ...options });
  return { account, ctx: contextOf(account), password };
}

/** A context in which the account acts, as if it had a session. */
export function contextOf(account: Account, narrowing: Partial<Actor> = {}): Context {
  return makeContext({ ...actorOf(account, uuidv7(), null), ...narrowing }, { address: '127.0.0.1' });
}
