// Decisions and filters from the snapshot, small and large, beside the same question asked of PostgreSQL by a look-up.
import 'reflect-metadata';
import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Access, accessEntities, AccessModule, Collections, Grants, operations, type Operation, type ResourceRef } from '@gantry/access';
import { auditEntities, AuditModule } from '@gantry/audit';
import { Db, loadConfig, makeContext, makeLogger, NestLogger, PlatformModule, systemContext, type Actor, type Context } from '@gantry/platform';
import { Children } from '../apps/standalone/src/children';
import { prepareHome } from '../apps/standalone/src/checks';
import { startPostgres } from '../apps/standalone/src/postgres';
import { migrations } from '../migrations';
import { bench, fullRounds, interleave, judge, later, median, percentile, progress, ratios, show, showSpread, spreadOf, type Findings, type Row } from './lib';
import { temporaryFolder } from './product';

/** How much there is to decide on. */
interface Size {
  users: number;
  teamsPerUser: number;
  teams: number;
  collections: number;
  roles: number;
  grants: number;
  placements: number;
}

const small: Size = { users: 1_000, teams: 200, teamsPerUser: 20, collections: 200, roles: 50, grants: 1_000, placements: 10_000 };
const large: Size = { users: 50_000, teams: 2_000, teamsPerUser: 20, collections: 5_000, roles: 50, grants: 100_000, placements: 1_000_000 };
const questionsPerRound = 200_000;
const batch = 1_000;

const uuid = (prefix: number, expression: string): string => `(lpad(to_hex(${prefix}), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(${expression}), 12, '0'))::uuid`;
const idOf = (prefix: number, number: number): string => `${prefix.toString(16).padStart(8, '0')}-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
const [userPrefix, teamPrefix, collectionPrefix, grantPrefix, placedPrefix, orgId] = [0xa, 0xb, 0xc, 0xd, 0xe, idOf(0xf, 1)] as const;
const rootId = '00000000-0000-7000-8000-000000000001';

/** Fills an empty, migrated database: a tree with eight children at each collection, and everything else spread evenly by arithmetic. */
async function fill(db: Db, ctx: Context, size: Size): Promise<void> {
  const run = (sql: string): Promise<unknown> => db.dataSource.query(sql);
  await run(`insert into access_accounts (id, source, external_id, kind, name, name_key, namespace, created_at)
    select ${uuid(userPrefix, 'i')}, 'local', i::text, 'user', 'user' || i, 'user' || i, 'user' || i, now() from generate_series(1, ${size.users}) i
    union all select '${orgId}', 'local', 'org', 'organization', 'org', 'org', 'org', now()`);
  await run(`insert into access_collections (id, parent_id, path, owner_id)
    select ${uuid(userPrefix, 'i')}, '00000000-0000-7000-8000-000000000004', '/Shared/Private/user' || i, ${uuid(userPrefix, 'i')} from generate_series(1, ${size.users}) i`);
  // Parents come before their children, each an eighth of its number.
  await run(`with recursive tree as (
      select i, case when i <= 8 then '${rootId}'::uuid else ${uuid(collectionPrefix, '((i - 1) / 8)')} end as parent from generate_series(1, ${size.collections}) i)
    insert into access_collections (id, parent_id, path) select ${uuid(collectionPrefix, 'i')}, parent, '/c' || i from tree order by i`);
  await run(`insert into access_teams (id, organization_id, name, created_at) select ${uuid(teamPrefix, 'i')}, '${orgId}', 't' || i, now() from generate_series(1, ${size.teams}) i`);
  await run(`insert into access_team_members (team_id, user_id, origin, administers, created_at)
    select ${uuid(teamPrefix, `1 + (u * 7 + t * 13) % ${size.teams}`)}, ${uuid(userPrefix, 'u')}, 'manual', false, now() from generate_series(1, ${size.users}) u, generate_series(1, ${size.teamsPerUser}) t on conflict do nothing`);
  const grantable = operations.filter((operation) => !/^(?:role|grant|access):|^account:(?:create|administer|delete)$|^directory:update$/.test(operation));
  for (let role = 1; role <= size.roles; role += 1) {
    const held = grantable.filter((_operation, at) => (at * 7 + role * 3) % 5 === 0);
    await db.dataSource.query(`insert into access_roles (id, name, built_in, operations, created_at) values ($1, $1, false, $2, now())`, [`r${role}`, JSON.stringify(held)]);
  }
  await run(`insert into access_grants (id, subject_kind, subject_id, role_id, collection_id, created_by, created_at)
    select ${uuid(grantPrefix, 'i')}, case when i % 4 = 0 then 'user' else 'team' end,
      case when i % 4 = 0 then ${uuid(userPrefix, `1 + (i * 31) % ${size.users}`)} else ${uuid(teamPrefix, `1 + (i * 17) % ${size.teams}`)} end,
      'r' || (1 + i % ${size.roles}), ${uuid(collectionPrefix, `1 + (i * 11) % ${size.collections}`)}, 'bench', now()
    from generate_series(1, ${size.grants}) i on conflict do nothing`);
  await run(`insert into access_placements (kind, id, collection_id)
    select 'service', ${uuid(placedPrefix, 'i')}::text, ${uuid(collectionPrefix, `1 + (i * 7) % ${size.collections}`)} from generate_series(1, ${size.placements}) i`);
  await run('analyze');
  await db.query(ctx, 'select 1');
}

/** The same question by SQL, as a server without a snapshot would ask it: up the tree, then any grant of the user or its teams whose role holds the operation. */
const lookUp = `
  with recursive up as (
    select c.id, c.parent_id, c.owner_id from access_placements p join access_collections c on c.id = p.collection_id where p.kind = 'service' and p.id = $2
    union all select c.id, c.parent_id, c.owner_id from up join access_collections c on c.id = up.parent_id)
  select exists (select 1 from up where owner_id = $1) or exists (
    select 1 from up join access_grants g on g.collection_id = up.id join access_roles r on r.id = g.role_id
    where r.operations ? $3 and (g.subject_id = $1 or g.subject_id in (select team_id from access_team_members where user_id = $1))) as allowed`;

interface Round {
  /** Nanoseconds a question, by batches. */
  canNs: number[];
  filterMs: number;
}

async function measure(title: string, size: Size, rounds: number): Promise<{ rows: Row[]; spread: number }> {
  progress(`${title}: filling the database`);
  const home = temporaryFolder();
  prepareHome(home);
  const children = new Children(home, () => undefined);
  later('PostgreSQL', () => children.stopAll());
  const { databaseUrl } = await startPostgres(home, children);
  const logger = makeLogger('silent');
  const db = await Db.open({ url: databaseUrl, entities: [...auditEntities, ...accessEntities], migrations, logger });
  later('the connections', () => db.close());
  await db.migrate();
  const ctx = systemContext('bench');
  await fill(db, ctx, size);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const before = process.memoryUsage().heapUsed;
  const access = new Access(db, logger);
  const loading = performance.now();
  await access.start();
  const loadMs = performance.now() - loading;
  collect();
  const heapMb = (process.memoryUsage().heapUsed - before) / 1e6;

  const contexts = Array.from({ length: 50 }, (_, at): Context => {
    const number = 1 + ((at * 997) % size.users);
    const actor: Actor = { kind: 'user', id: idOf(userPrefix, number), name: `user${number}`, admin: false, credentialId: null, limits: null };
    return makeContext(actor);
  });
  const asked: Operation[] = ['service:view', 'service:update', 'service:logs', 'service:remove'];
  const refs = Array.from({ length: 10_000 }, (_, at): ResourceRef => ({ kind: 'service', id: idOf(placedPrefix, 1 + ((at * 101) % size.placements)) }));
  const question = (at: number): [Context, Operation, ResourceRef] => [contexts[(at * 7) % 50]!, asked[at % 4]!, refs[(at * 31) % 10_000]!];

  // The snapshot and the look-up must agree, or neither is measured.
  let allowed = 0;
  for (let at = 0; at < 300; at += 1) {
    const [as, operation, ref] = question(at * 13);
    const [row] = await db.query<{ allowed: boolean }>(ctx, lookUp, [as.actor.id, ref.id, operation]);
    if (row?.allowed !== access.can(as, operation, ref).allowed) throw new Error(`the snapshot and SQL disagree on ${operation} for ${as.actor.name} on ${ref.id}`);
    if (row.allowed) allowed += 1;
  }
  if (allowed === 0 || allowed === 300) throw new Error(`${allowed} of 300 questions are answered yes: nothing is decided here`);

  const decisions = async (): Promise<Round> => {
    const canNs = [];
    let yes = 0;
    for (let from = 0; from < questionsPerRound; from += batch) {
      const begin = process.hrtime.bigint();
      for (let at = from; at < from + batch; at += 1) {
        const [as, operation, ref] = question(at);
        if (access.can(as, operation, ref).allowed) yes += 1;
      }
      canNs.push(Number(process.hrtime.bigint() - begin) / batch);
    }
    if (yes === 0) throw new Error('nothing was allowed');
    const begin = performance.now();
    const left = access.filter(contexts[0]!, 'service:view', refs, (ref) => ref);
    const filterMs = performance.now() - begin;
    if (left.length === refs.length) throw new Error('nothing was filtered');
    return { canNs, filterMs };
  };
  const sql = async (): Promise<Round> => {
    const micros = [];
    for (let at = 0; at < 50; at += 1) {
      const [as, operation, ref] = question(at * 17);
      const begin = process.hrtime.bigint();
      await db.query(ctx, lookUp, [as.actor.id, ref.id, operation]);
      micros.push(Number(process.hrtime.bigint() - begin));
    }
    return { canNs: micros, filterMs: 0 };
  };
  progress(`${title}: warming up`);
  await decisions();
  await sql();
  const found = await interleave(rounds, { can: decisions, again: decisions, sql });
  const p50 = (list: Round[]): number => median(list.map(({ canNs }) => median(canNs)));
  const aa = ratios(found['can']!.map(({ canNs }) => median(canNs)), found['again']!.map(({ canNs }) => median(canNs)));
  const spread = spreadOf(aa);
  const canUs = p50(found['can']!) / 1_000;
  const sqlUs = p50(found['sql']!) / 1_000;
  const filterMs = median(found['can']!.map((round) => round.filterMs));

  // One change: written, told, applied. And the first question of an account after it, which finds nothing remembered.
  await access.onModuleDestroy();
  writeFileSync(join(home, 'audit.key'), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const config = loadConfig({ GANTRY_HOME: home, GANTRY_AUDIT_KEY_FILE: join(home, 'audit.key'), GANTRY_SECRET_KEY: randomBytes(32).toString('base64'), DATABASE_URL: databaseUrl });
  @Module({ imports: [PlatformModule.forRoot({ config, logger, db }), AuditModule, AccessModule] })
  class Rooms {}
  const app = await NestFactory.createApplicationContext(Rooms, { logger: new NestLogger(logger), abortOnError: false });
  const [tree, grants, live] = [app.get(Collections), app.get(Grants), app.get(Access)];
  const changeMs: number[] = [];
  const firstUs: number[] = [];
  for (let round = 0; round < 30; round += 1) {
    const { path } = await tree.create(ctx, { parent: '/c1', name: `bench${round}` });
    const begin = performance.now();
    await grants.create(ctx, { subject: `user${1 + round}`, role: 'viewonly', collection: path });
    changeMs.push(performance.now() - begin);
    const first = process.hrtime.bigint();
    live.can(contexts[round]!, 'service:view', refs[round]!);
    firstUs.push(Number(process.hrtime.bigint() - first) / 1_000);
  }
  await app.close();
  const limits = title === 'small';
  return {
    spread,
    rows: [
      { what: `${title}: can, p50`, value: show(canUs, 'µs'), ...(limits ? { limit: '< 2 µs', verdict: judge({ value: canUs, limit: 2, good: 'below', spread }) } : {}) },
      { what: `${title}: can, p99 of batches of ${batch.toLocaleString('en-US')}`, value: show(percentile(found['can']!.flatMap(({ canNs }) => canNs), 99) / 1_000, 'µs') },
      { what: `${title}: filter of 10,000`, value: show(filterMs, 'ms'), ...(limits ? { limit: '< 5 ms', verdict: judge({ value: filterMs, limit: 5, good: 'below', spread }) } : {}) },
      { what: `${title}: look-up by SQL, p50`, value: show(sqlUs, 'µs') },
      { what: `${title}: SQL / can`, value: `${show(sqlUs / canUs)} ×` },
      { what: `${title}: A/A (can / can)`, value: `${show(median(aa))} × ${showSpread(spread)}` },
      { what: `${title}: snapshot loaded in`, value: show(loadMs, 'ms') },
      { what: `${title}: snapshot in memory`, value: `${show(heapMb, 'MB')}, ${show((heapMb / size.users) * 10_000, 'MB')} per 10,000 accounts with all of theirs` },
      { what: `${title}: a grant given and in force`, value: show(median(changeMs), 'ms') },
      { what: `${title}: first question after a change of the tree`, value: show(median(firstUs), 'µs') },
    ],
  };
}

bench(fullRounds, async ({ rounds, has }) => {
  const first = await measure('small', small, rounds);
  const second = has('small') ? { rows: [] } : await measure('large', large, rounds);
  const text = ({ users, teams, teamsPerUser, collections, roles, grants, placements }: Size): string =>
    `${grants.toLocaleString('en-US')} grants, ${collections.toLocaleString('en-US')} collections (eight below each), ${roles} roles, ${users.toLocaleString('en-US')} users in ${teamsPerUser} of ${teams.toLocaleString('en-US')} teams each, ${placements.toLocaleString('en-US')} placements`;
  return {
    title: 'Decisions',
    rows: [...first.rows, ...second.rows],
    notes: [
      `Small: ${text(small)}.`,
      ...(second.rows.length > 0 ? [`Large: ${text(large)}.`] : []),
      `${rounds} rounds of ${questionsPerRound.toLocaleString('en-US')} questions by 50 users about 10,000 resources; a batch is timed as one. 300 questions are first asked both ways, and must get the same answer.`,
      'SQL: one prepared statement on the same machine, up the tree by recursion, with the indexes of the product. It is what a process without a snapshot would ask for each decision.',
    ],
  } satisfies Findings;
});
