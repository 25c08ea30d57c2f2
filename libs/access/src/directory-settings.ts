import { Injectable } from '@nestjs/common';
import { Audit } from '@gantry/audit';
import { Clock, Db, Problem, requestProblem, Sealer, type Context } from '@gantry/platform';
import { Access } from './access';
import { defaultSyncSettings, DirectoryClient, findSettingsFaults, makePlan, type DirectoryPlan, type DirectorySettings, type SignInOutcome, type Standing, type SyncSettings } from './directory';
import { accessProblem } from './problems';

const sealPurpose = 'access.directory.bind-password';
const proposalPurpose = 'access.directory.proposal';

/** The directory's settings as they are shown: without the reader's password. `version` 0: never set. */
export interface DirectoryView extends Omit<DirectorySettings, 'bindPassword' | 'scope' | 'fullNameAttribute'>, SyncSettings {
  enabled: boolean;
  version: number;
}

/**
 * New settings; of searches and synchronisation what is left out is as by default. Without a `bindPassword` (the default server's or a domain's) the
 * stored one is kept, if it would go to the same place as before.
 */
export interface DirectoryChange extends Omit<DirectoryView, 'version' | keyof SyncSettings>, Partial<Omit<SyncSettings, 'domains'>> {
  bindPassword?: string;
  domains?: (SyncSettings['domains'][number] & { bindPassword?: string })[];
}

/** Settings with their secrets; `secrets` are those of `sync.domains`, in order. */
interface Complete {
  main: DirectorySettings;
  sync: SyncSettings;
  secrets: string[];
}

/** Outcome of `Directory.test`. `code` is a problem code or the reason of a refused sign-in; `entries` counts who could sign in. */
export interface DirectoryReport {
  ok: boolean;
  code: string | null;
  detail: string | null;
  entries: number | null;
  entry: { dn: string; username: string; displayName: string | null; mail: string | null } | null;
}

interface Row {
  enabled: boolean;
  url: string;
  start_tls: boolean;
  ca_pem: string | null;
  bind_dn: string;
  bind_password_sealed: string;
  search_base: string;
  username_attribute: string;
  filter: string | null;
  timeout_seconds: number;
  options: Partial<Omit<SyncSettings, 'domains'>> & { domains?: (SyncSettings['domains'][number] & { bindPasswordSealed: string })[] };
  version: number;
}

/** The LDAP directory, of one or more servers, in which people sign in who have no local account. */
@Injectable()
export class Directory {
  constructor(
    private readonly db: Db,
    private readonly clock: Clock,
    private readonly sealer: Sealer,
    private readonly access: Access,
    private readonly audit: Audit,
    private readonly client: DirectoryClient,
  ) {}

  /** The settings; where none are set, the defaults with `enabled` false. */
  async settings(ctx: Context): Promise<DirectoryView> {
    const row = await this.find(ctx);
    if (!row) {
      return { enabled: false, url: '', startTls: false, caPem: null, bindDn: '', searchBase: '', usernameAttribute: 'uid', filter: null, timeoutSeconds: 5, ...defaultSyncSettings, version: 0 };
    }
    const { bindPassword: _secret, ...shown } = this.open(row);
    return { ...shown, ...syncOf(row), enabled: row.enabled, version: row.version };
  }

  /** Replaces the settings; all remembered passwords are forgotten. @throws request.precondition-failed, request.invalid, access.directory-password-needed */
  async update(ctx: Context, version: number, change: DirectoryChange): Promise<DirectoryView> {
    return this.db.transaction(ctx, async (tx) => {
      await this.db.query(tx, 'lock table access_directory in share row exclusive mode');
      const row = await this.find(tx);
      if ((row?.version ?? 0) !== version) throw requestProblem('precondition-failed');
      const { main, sync, secrets } = this.complete(row, change);
      if (change.enabled) assertUsable(makePlan(main, sync, secrets), main);
      const domains = change.domains ?? [];
      const options: Row['options'] = { ...sync, domains: sync.domains.map((domain, index) => ({ ...domain, bindPasswordSealed: this.sealer.seal(secrets[index]!, sealPurpose) })) };
      await this.db.query(
        tx,
        `insert into access_directory (id, enabled, url, start_tls, ca_pem, bind_dn, bind_password_sealed, search_base, username_attribute, filter, timeout_seconds, updated_at, version, options)
         values (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         on conflict (id) do update set enabled = excluded.enabled, url = excluded.url, start_tls = excluded.start_tls, ca_pem = excluded.ca_pem, bind_dn = excluded.bind_dn,
           bind_password_sealed = excluded.bind_password_sealed, search_base = excluded.search_base, username_attribute = excluded.username_attribute, filter = excluded.filter,
           timeout_seconds = excluded.timeout_seconds, updated_at = excluded.updated_at, version = excluded.version, options = excluded.options`,
        [
          change.enabled, change.url, change.startTls, change.caPem, change.bindDn, this.sealer.seal(main.bindPassword, sealPurpose), change.searchBase, change.usernameAttribute, change.filter,
          change.timeoutSeconds, this.clock.now(), version + 1, JSON.stringify(options),
        ],
      );
      const { bindPassword, caPem, domains: _domains, ...shown } = change;
      await this.audit.record(tx, {
        action: 'directory.update',
        resource: { kind: 'directory', id: null },
        outcome: 'success',
        detail: {
          ...shown, ca: caPem !== null, readerChanged: bindPassword !== undefined,
          domains: domains.map(({ domain, caPem: ca, bindPassword: secret, ...place }) => ({ domain, ...place, ca: ca !== null, readerChanged: secret !== undefined })),
        },
      });
      await this.access.publish(tx, [{ type: 'directory' }]);
      return this.settings(tx);
    });
  }

  /**
   * Settings as a synchronisation would use them if they were saved, sealed, to be opened by `openProposal`. Nothing is stored.
   * @throws request.invalid, access.directory-password-needed
   */
  async propose(ctx: Context, change: DirectoryChange): Promise<string> {
    const { main, sync, secrets } = this.complete(await this.find(ctx), change);
    assertUsable(makePlan(main, sync, secrets), main);
    return this.sealer.seal(JSON.stringify({ main, sync, secrets }), proposalPurpose);
  }

  /** What `propose` has sealed. */
  openProposal(sealed: string): DirectoryPlan {
    const { main, sync, secrets } = JSON.parse(this.sealer.open(sealed, proposalPurpose).toString()) as Complete;
    return makePlan(main, sync, secrets);
  }

  /** New settings with the passwords that they keep from the stored ones. */
  private complete(row: Row | null, change: DirectoryChange): Complete {
    const password = change.bindPassword ?? (row && samePlace(this.open(row), change) ? this.open(row).bindPassword : undefined);
    if (password === undefined) throw accessProblem('directory-password-needed', { errors: [{ pointer: '/bindPassword', detail: 'required' }] });
    const { domains = [], bindPassword: _new, enabled: _enabled, url, startTls, caPem, bindDn, searchBase, usernameAttribute, filter, timeoutSeconds, ...rest } = change;
    const secrets = domains.map((domain, index) => {
      const before = row?.options.domains?.find((known) => known.domain === domain.domain && samePlace(known, domain));
      const secret = domain.bindPassword ?? (before && this.sealer.open(before.bindPasswordSealed, sealPurpose).toString());
      if (secret === undefined) throw accessProblem('directory-password-needed', { errors: [{ pointer: `/domains/${index}/bindPassword`, detail: 'required' }] });
      return secret;
    });
    return {
      main: { url, startTls, caPem, bindDn, bindPassword: password, searchBase, usernameAttribute, filter, timeoutSeconds },
      sync: { ...defaultSyncSettings, ...rest, domains: domains.map(({ bindPassword: _secret, ...domain }) => domain) },
      secrets,
    };
  }

  /**
   * Tries the stored settings (also while not enabled): connection, encryption, reader account and search; with a user name and password also that
   * sign-in. Says what is wrong instead of throwing it, and creates no account. @throws request.not-found while nothing is set
   */
  async test(ctx: Context, input: { username?: string; password?: string }): Promise<DirectoryReport> {
    const row = await this.find(ctx);
    if (!row) throw requestProblem('not-found', { detail: 'No directory is set; PUT its settings first.' });
    const report = await this.report(this.planOf(row), input);
    await this.audit.record(ctx, {
      action: 'directory.test',
      resource: { kind: 'directory', id: null },
      outcome: report.ok ? 'success' : 'failed',
      detail: { code: report.code, ...(input.username === undefined ? {} : { username: input.username }) },
    });
    return report;
  }

  private async report(plan: DirectoryPlan, input: { username?: string; password?: string }): Promise<DirectoryReport> {
    const tested = await this.client.test(plan);
    if (!tested.ok) return { ok: false, code: tested.code, detail: tested.detail, entries: null, entry: null };
    const { entries } = tested;
    if (input.username === undefined || input.password === undefined) return { ok: true, code: null, detail: null, entries, entry: null };
    try {
      const answer = await this.client.signIn(plan, input.username, input.password);
      if (!answer.ok) return { ok: false, code: answer.reason, detail: 'The directory refused this user name and password.', entries, entry: null };
      const { dn, username, displayName, mail } = answer.entry;
      return { ok: true, code: null, detail: null, entries, entry: { dn, username, displayName, mail } };
    } catch (error) {
      if (error instanceof Problem) return { ok: false, code: error.code, detail: error.detail, entries, entry: null };
      throw error;
    }
  }

  /** Asks the directory; null when none is enabled. @throws access.directory-misconfigured, access.directory-unavailable */
  async authenticate(ctx: Context, username: string, password: string): Promise<(SignInOutcome & { jitProvisioning: boolean }) | null> {
    const row = await this.find(ctx);
    if (!row?.enabled) return null;
    const plan = this.planOf(row);
    return { ...(await this.client.signIn(plan, username, password)), jitProvisioning: plan.sync.jitProvisioning };
  }

  /** How the directory has a person now, or null when none is enabled. @throws access.directory-misconfigured, access.directory-unavailable */
  async standingOf(ctx: Context, externalId: string): Promise<Standing | null> {
    const row = await this.find(ctx);
    return row?.enabled ? this.client.standingOf(this.planOf(row), externalId) : null;
  }

  /** The settings with their secrets, for a synchronisation; null when none is enabled. */
  async plan(ctx: Context): Promise<DirectoryPlan | null> {
    const row = await this.find(ctx);
    return row?.enabled ? this.planOf(row) : null;
  }

  private planOf(row: Row): DirectoryPlan {
    const passwords = (row.options.domains ?? []).map((domain) => this.sealer.open(domain.bindPasswordSealed, sealPurpose).toString());
    return makePlan(this.open(row), syncOf(row), passwords);
  }

  private async find(ctx: Context): Promise<Row | null> {
    const [row] = await this.db.query<Row>(ctx, 'select * from access_directory where id = 1');
    return row ?? null;
  }

  private open(row: Row): DirectorySettings {
    return {
      url: row.url, startTls: row.start_tls, caPem: row.ca_pem, bindDn: row.bind_dn, bindPassword: this.sealer.open(row.bind_password_sealed, sealPurpose).toString(),
      searchBase: row.search_base, usernameAttribute: row.username_attribute, filter: row.filter, timeoutSeconds: row.timeout_seconds,
    };
  }
}

type Place = Pick<DirectorySettings, 'url' | 'startTls' | 'caPem' | 'bindDn'>;

/** Whether the stored reader's password would go to the same server, protected in the same way, for the same reader. */
function samePlace(known: Place, change: Place): boolean {
  return known.url === change.url && known.startTls === change.startTls && known.caPem === change.caPem && known.bindDn === change.bindDn;
}

function syncOf(row: Row): SyncSettings {
  return { ...defaultSyncSettings, ...row.options, domains: (row.options.domains ?? []).map(({ bindPasswordSealed: _sealed, ...domain }) => domain) };
}

/** Settings that can't work are the sender's mistake here, not the directory's. @throws request.invalid */
function assertUsable(plan: DirectoryPlan, main: DirectorySettings): void {
  const faults = findSettingsFaults(plan, main);
  if (faults.length > 0) throw requestProblem('invalid', { detail: faults[0]!.detail, errors: faults.filter(({ pointer }) => pointer !== '') });
}
