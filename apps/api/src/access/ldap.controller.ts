import { Controller, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Directory, DirectorySync, DirectoryTargets, type MemberSelection } from '@gantry/access';
import { idOrName, In, listOf, noQuery, page, Route, time, type Input } from '../http/route';
import { password } from './shapes';

const text = (max: number): z.ZodString => z.string().max(max).regex(/^[^\0\p{Cs}]*$/u, 'no NUL, no broken characters');
const url = text(300).regex(/^ldaps?:\/\/[^/?#@\s]+\/?$/i, 'ldap://host[:port] or ldaps://host[:port]');
const attribute = z.string().regex(/^(?:[A-Za-z][A-Za-z0-9-]{0,99}|\d+(?:\.\d+){1,30})$/, 'an attribute’s name').max(100);
const dn = text(1_000).min(1);
const filterText = text(2_000).min(1);
const groupMatch = z.strictObject({
  groupDn: dn, memberAttribute: attribute.default('member').describe('DNs; the values of memberUid are user names'), nested: z.boolean().default(false).describe('also the members of groups in it'),
});
const searchScope = z.enum(['sub', 'one']).default('sub');
const selection = z.discriminatedUnion('kind', [
  groupMatch.extend({ kind: z.literal('group') }),
  z.strictObject({ kind: z.literal('search'), searchBase: dn, scope: searchScope, filter: filterText }),
]) satisfies z.ZodType<MemberSelection>;
const userSearch = z.strictObject({
  searchBase: dn, scope: searchScope, usernameAttribute: attribute.default('uid'), fullNameAttribute: attribute.nullable().default(null), filter: filterText.nullable().default(null),
  matchGroup: groupMatch.nullable().default(null).describe('only people in this group'),
});
const domain = z.strictObject({ domain: dn, url, startTls: z.boolean().default(false), caPem: text(100_000).nullable().default(null), bindDn: dn });
const writtenPassword = password.optional().describe('write-only; may be left out while address, encryption and reader stay as they are');
const shared = {
  enabled: z.boolean(),
  startTls: z.boolean(),
  caPem: text(100_000).nullable(),
  bindDn: text(1_000).min(1),
  searchBase: text(1_000).min(1),
  usernameAttribute: attribute,
  filter: filterText.nullable(),
  timeoutSeconds: z.number().int().min(1).max(60),
};
const sync = {
  userSearches: z.array(userSearch).max(20).default([]).describe('in order; the first that finds a name decides. Empty: the one search of searchBase, usernameAttribute and filter'),
  paging: z.boolean().default(true).describe('RFC 2696'),
  nestedGroups: z.enum(['auto', 'matching-rule', 'walk']).default('auto').describe('by Active Directory’s matching rule, or group by group'),
  adminSync: selection.nullable().default(null).describe('who of the directory’s people is system administrator; replaces that of all of them'),
  schedule: text(100).nullable().default(null).describe('five cron fields in UTC, for example `0 * * * *`'),
  jitProvisioning: z.boolean().default(true).describe('make an account at the first sign-in'),
  createOnSync: z.boolean().default(false).describe('make accounts for everybody at a synchronisation'),
  safetySharePercent: z.number().int().min(1).max(100).default(50).describe('removals of more than this share of a team’s or organization’s memberships are held'),
  holdHours: z.number().int().min(1).max(8_760).default(72).describe('how long they are held'),
};
const settings = z.object({ ...shared, url: z.string(), bindDn: z.string(), searchBase: z.string(), domains: z.array(domain), ...sync, version: z.number().int() });
const change = z.strictObject({
  ...shared, url, startTls: shared.startTls.default(false), caPem: shared.caPem.default(null), filter: shared.filter.default(null), usernameAttribute: shared.usernameAttribute.default('uid'),
  timeoutSeconds: shared.timeoutSeconds.default(5), enabled: shared.enabled.default(true),
  bindPassword: writtenPassword,
  domains: z.array(domain.extend({ bindPassword: writtenPassword })).max(20).default([]).describe('further servers; the one whose domain is the longest end of a base is asked about it'),
  ...sync,
});
const trial = z.strictObject({ username: z.string().min(1).max(256).optional(), password: password.optional() });
const report = z.object({
  ok: z.boolean(),
  code: z.string().nullable(),
  detail: z.string().nullable(),
  entries: z.number().int().nullable(),
  entry: z.object({ dn: z.string(), username: z.string(), displayName: z.string().nullable(), mail: z.string().nullable() }).nullable(),
});
const count = z.number().int();
const run = z.object({
  id: z.string(),
  state: z.enum(['queued', 'running', 'succeeded', 'failed']),
  reason: z.enum(['request', 'schedule', 'hold']),
  dryRun: z.boolean(),
  requestedBy: z.string(),
  phase: z.string().nullable(),
  counts: z.object({
    people: count, created: count, returned: count, deactivated: count, renamed: count, updated: count, skipped: count, teams: count, teamsDone: count, membersAdded: count,
    membersRemoved: count, adminsAdded: count, adminsRemoved: count, held: count, warnings: count,
  }).partial(),
  error: z.object({ code: z.string(), detail: z.string() }).nullable(),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
});
const logLine = z.object({ line: count, at: time, level: z.enum(['info', 'warning', 'error']), code: z.string(), message: z.string(), detail: z.record(z.string(), z.unknown()) });
const hold = z.object({
  id: z.string(), scope: z.enum(['team', 'organization-admins', 'system-admins']), name: z.string(), users: z.array(z.object({ id: z.string(), name: z.string() })), members: count,
  state: z.enum(['open', 'confirmed', 'applied', 'dropped']), runId: z.string().nullable(), createdAt: time, expiresAt: time, decidedBy: z.string().nullable(),
});
const idParams = z.strictObject({ id: z.uuid() });
const syncQuery = z.strictObject({ dryRun: z.enum(['true', 'false']).default('false').describe('only list, in the log, what would change') });
const holdQuery = page.extend({ waiting: z.enum(['true', 'false']).default('false').describe('only those that keep something from happening') });

/** Names the place of a run that was asked for. */
function at<T extends { id: string }>(reply: FastifyReply, made: T): T {
  void reply.header('location', `/api/v1/ldap/syncs/${made.id}`);
  return made;
}

/** The LDAP directory. */
@Controller('api/v1/ldap')
export class LdapController {
  constructor(@Inject(Directory) private readonly directory: Directory, @Inject(DirectorySync) private readonly syncs: DirectorySync) {}

  @Route({ method: 'GET', summary: 'Directory settings', description: 'The readers’ passwords are never shown. Version 0: none are set.', operation: 'directory:view', scope: 'system', response: settings })
  get(@In() { ctx }: Input): Promise<unknown> {
    return this.directory.settings(ctx);
  }

  @Route({
    method: 'PUT', summary: 'Set the directory', description: 'Send the ETag of the settings as they were; `"0"` the first time.',
    operation: 'directory:update', scope: 'system', body: change, response: settings, ifMatch: true, audit: 'directory.update',
  })
  put(@In() { ctx, body, version }: Input<unknown, unknown, z.output<typeof change>>): Promise<unknown> {
    return this.directory.update(ctx, version, body);
  }

  @Route({
    method: 'POST', path: 'test', summary: 'Try the directory', description: 'Connects and signs in as the reader; with a user name and password also as that person, without making an account.',
    operation: 'directory:update', scope: 'system', body: trial, response: report, status: 200, audit: 'directory.test',
  })
  test(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof trial>>): Promise<unknown> {
    return this.directory.test(ctx, body);
  }

  @Route({
    method: 'POST', path: 'sync', summary: 'Synchronise with the directory', description: 'Asks for a run and answers it; where one waits already, that. With `dryRun` its log says what would change.',
    operation: 'directory:sync', scope: 'system', query: syncQuery, response: run, status: 202, audit: 'directory.sync',
  })
  async sync(@In() { ctx, query }: Input<unknown, z.output<typeof syncQuery>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<unknown> {
    return at(reply, await this.syncs.start(ctx, { dryRun: query.dryRun === 'true' }));
  }

  @Route({
    method: 'POST', path: 'preview', summary: 'What would a synchronisation change with other settings?',
    description: 'The settings as they would be saved. Asks for a dry run with them and answers it; its log says what would change. Nothing is saved.',
    operation: 'directory:sync', scope: 'system', body: change, response: run, status: 202, audit: 'directory.preview',
  })
  async preview(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof change>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<unknown> {
    return at(reply, await this.syncs.preview(ctx, body));
  }

  @Route({ method: 'GET', path: 'syncs', summary: 'List synchronisations', description: 'Newest first, of the last 90 days.', operation: 'directory:view', scope: 'system', query: page, response: listOf(run) })
  list(@In() { ctx, query }: Input<unknown, z.output<typeof page>>): Promise<unknown> {
    return this.syncs.list(ctx, query);
  }

  @Route({ method: 'GET', path: 'syncs/:id', summary: 'Get a synchronisation', description: 'How far it is, and what it has changed.', operation: 'directory:view', scope: 'system', params: idParams, response: run })
  getRun(@In() { ctx, params }: Input<z.output<typeof idParams>>): Promise<unknown> {
    return this.syncs.get(ctx, params.id);
  }

  @Route({
    method: 'GET', path: 'syncs/:id/log', summary: 'Read a synchronisation’s log', description: 'Of a dry run: what would change.', operation: 'directory:view', scope: 'system', params: idParams,
    query: page, response: listOf(logLine),
  })
  async log(@In() { ctx, params, query }: Input<z.output<typeof idParams>, z.output<typeof page>>): Promise<unknown> {
    const { id } = await this.syncs.get(ctx, params.id);
    return this.syncs.listLog(ctx, id, query);
  }

  @Route({
    method: 'GET', path: 'holds', summary: 'List removals that are held', description: 'The safety stop keeps them from happening until they are confirmed or their time is over.',
    operation: 'directory:view', scope: 'system', query: holdQuery, response: listOf(hold),
  })
  holds(@In() { ctx, query }: Input<unknown, z.output<typeof holdQuery>>): Promise<unknown> {
    return this.syncs.listHolds(ctx, { ...query, waiting: query.waiting === 'true' });
  }

  @Route({
    method: 'POST', path: 'holds/:id/confirm', summary: 'Let held removals happen', description: 'Asks for a synchronisation, which removes who is still to go then.',
    operation: 'directory:sync', scope: 'system', params: idParams, response: run, status: 202, audit: 'directory.confirm-hold',
  })
  async confirm(@In() { ctx, params }: Input<z.output<typeof idParams>>, @Res({ passthrough: true }) reply: FastifyReply): Promise<unknown> {
    return at(reply, await this.syncs.confirmHold(ctx, params.id));
  }
}

const target = z.object({ selection, syncedAt: time.nullable(), error: z.string().nullable(), version: count });
const targetBody = z.strictObject({ selection });
const teamParams = z.strictObject({ org: idOrName, team: idOrName });
const orgParams = z.strictObject({ org: idOrName });

/**
 * What teams and organizations' administrators follow of the directory. For administrators of the system alone: whoever could choose a group would
 * read who is in it.
 */
@Controller('api/v1/organizations')
export class DirectoryTargetsController {
  constructor(@Inject(DirectoryTargets) private readonly targets: DirectoryTargets) {}

  @Route({ method: 'GET', path: ':org/teams/:team/sync', summary: 'What of the directory a team follows', operation: 'directory:view', scope: 'system', params: teamParams, query: noQuery, response: target })
  getTeam(@In() { ctx, params }: Input<z.output<typeof teamParams>>): Promise<unknown> {
    return this.targets.getTeam(ctx, params.org, params.team);
  }

  @Route({
    method: 'PUT', path: ':org/teams/:team/sync', summary: 'Let a team follow the directory', description: 'A group’s members, or whom a search finds, from the next synchronisation on; `"0"` as ETag the first time.',
    operation: 'directory:update', scope: 'system', params: teamParams, body: targetBody, response: target, ifMatch: true, audit: 'directory.set-team-sync',
  })
  putTeam(@In() { ctx, params, body, version }: Input<z.output<typeof teamParams>, unknown, z.output<typeof targetBody>>): Promise<unknown> {
    return this.targets.putTeam(ctx, params.org, params.team, version, body.selection);
  }

  @Route({
    method: 'DELETE', path: ':org/teams/:team/sync', summary: 'Let a team follow the directory no longer', description: 'Memberships that came from there end; those given by hand stay.',
    operation: 'directory:update', scope: 'system', params: teamParams, audit: 'directory.unset-team-sync',
  })
  async deleteTeam(@In() { ctx, params }: Input<z.output<typeof teamParams>>): Promise<void> {
    await this.targets.deleteTeam(ctx, params.org, params.team);
  }

  @Route({ method: 'GET', path: ':org/admin-sync', summary: 'Who of the directory administers an organization', operation: 'directory:view', scope: 'system', params: orgParams, query: noQuery, response: target })
  getAdmins(@In() { ctx, params }: Input<z.output<typeof orgParams>>): Promise<unknown> {
    return this.targets.getOrganization(ctx, params.org);
  }

  @Route({
    method: 'PUT', path: ':org/admin-sync', summary: 'Let an organization’s administrators follow the directory',
    description: 'The result replaces those of the directory’s people who administer it; local users stay. `"0"` as ETag the first time.',
    operation: 'directory:update', scope: 'system', params: orgParams, body: targetBody, response: target, ifMatch: true, audit: 'directory.set-admin-sync',
  })
  putAdmins(@In() { ctx, params, body, version }: Input<z.output<typeof orgParams>, unknown, z.output<typeof targetBody>>): Promise<unknown> {
    return this.targets.putOrganization(ctx, params.org, version, body.selection);
  }

  @Route({
    method: 'DELETE', path: ':org/admin-sync', summary: 'Let an organization’s administrators follow the directory no longer', description: 'They stay as they are.',
    operation: 'directory:update', scope: 'system', params: orgParams, audit: 'directory.unset-admin-sync',
  })
  async deleteAdmins(@In() { ctx, params }: Input<z.output<typeof orgParams>>): Promise<void> {
    await this.targets.deleteOrganization(ctx, params.org);
  }
}
