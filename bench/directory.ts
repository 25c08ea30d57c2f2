// A full synchronisation with the directory, beside a bare paged search of the same people: of 2,000 people with 100 groups, and of 20,000.
import 'reflect-metadata';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Client } from 'ldapts';
import { accessEntities, AccessModule, Accounts, Directory, DirectorySync, DirectoryTargets, Teams } from '@gantry/access';
import { auditEntities, AuditModule } from '@gantry/audit';
import { Db, loadConfig, makeLogger, NestLogger, PlatformModule, systemContext } from '@gantry/platform';
import { Children } from '../apps/standalone/src/children';
import { prepareHome } from '../apps/standalone/src/checks';
import { startPostgres } from '../apps/standalone/src/postgres';
import { makeCorp } from '../libs/access/testing/corp';
import { startSlapd } from '../libs/access/testing/slapd';
import { migrations } from '../migrations';
import { bench, fullRounds, interleave, later, median, progress, ratios, show, showSpread, spreadOf, type Findings, type Row } from './lib';
import { temporaryFolder } from './product';

const ctx = systemContext('bench');

interface Measured {
  firstMs: number;
  againMs: number[];
  searchMs: number[];
  searchTwiceMs: number[];
}

bench(fullRounds, async (options) => {
  const small = await measure(2_000, options.rounds);
  const large = options.has('small') ? null : await measure(20_000, Math.max(3, Math.floor(options.rounds / 3)));
  const rows: Row[] = [];
  for (const [name, found] of [['2,000 people, 100 groups', small], ['20,000 people, 100 groups', large]] as const) {
    if (!found) continue;
    rows.push(
      { what: `${name}: first synchronisation, which makes the accounts`, value: show(found.firstMs / 1000, 's') },
      { what: `${name}: synchronisation without a change`, value: show(median(found.againMs), 'ms') },
      { what: `${name}: bare paged search`, value: show(median(found.searchMs), 'ms') },
      { what: `${name}: synchronisation / search`, value: show(median(ratios(found.againMs, found.searchMs)), '×') },
      { what: `${name}: noise (search / search)`, value: showSpread(spreadOf(ratios(found.searchTwiceMs, found.searchMs))) },
    );
  }
  if (large) {
    rows.push(
      { what: 'ten times the people: first synchronisation', value: show(large.firstMs / small.firstMs, '×') },
      { what: 'ten times the people: without a change', value: show(median(large.againMs) / median(small.againMs), '×') },
      { what: 'ten times the people: bare paged search', value: show(median(large.searchMs) / median(small.searchMs), '×') },
    );
  }
  return {
    title: 'Synchronisation with the directory', rows,
    notes: [
      'OpenLDAP and PostgreSQL on the same machine. Ten teams follow nested groups, each with all groups below it.',
      'The bare search reads the same attributes of the same people in pages of 500, on a connection of its own, and keeps the entries.',
      'A synchronisation without a change reads everybody and every group, and compares; it also writes its own two rows.',
    ],
  } satisfies Findings;
});

async function measure(users: number, rounds: number): Promise<Measured> {
  progress(`${users} people: filling the directory`);
  const corp = makeCorp({ base: 'dc=corp,dc=test', users, groups: 100 });
  const slapd = await startSlapd({ ldif: corp.ldif });
  later('slapd', () => slapd.close());
  const home = temporaryFolder();
  prepareHome(home);
  const children = new Children(home, () => undefined);
  later('PostgreSQL', () => children.stopAll());
  const { databaseUrl } = await startPostgres(home, children);
  const logger = makeLogger('silent');
  writeFileSync(join(home, 'audit.key'), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const config = loadConfig({ GANTRY_HOME: home, GANTRY_AUDIT_KEY_FILE: join(home, 'audit.key'), DATABASE_URL: databaseUrl, GANTRY_SECRET_KEY: randomBytes(32).toString('base64') });
  const db = await Db.open({ url: databaseUrl, entities: [...auditEntities, ...accessEntities], migrations, logger });
  later('the connections', () => db.close());
  await db.migrate();

  @Module({ imports: [PlatformModule.forRoot({ config, logger, db }), AuditModule, AccessModule] })
  class Rooms {}
  const app = await NestFactory.createApplicationContext(Rooms, { logger: new NestLogger(logger), abortOnError: false });
  later('the rooms', () => app.close());
  const [accounts, teams, targets, directory, sync] = [app.get(Accounts), app.get(Teams), app.get(DirectoryTargets), app.get(Directory), app.get(DirectorySync)];
  await accounts.createOrganization(ctx, { name: 'acme' });
  const settings = slapd.settings({ searchBase: corp.peopleBase, timeoutSeconds: 30 });
  await directory.update(ctx, 0, { ...settings, enabled: true, createOnSync: true });
  for (let index = 0; index < 10; index += 1) {
    await teams.create(ctx, 'acme', { name: `team${index}` });
    await targets.putTeam(ctx, 'acme', `team${index}`, 0, { kind: 'group', groupDn: corp.groups[index]!.dn, memberAttribute: 'member', nested: true });
  }
  const run = async (): Promise<number> => {
    const { id } = await sync.start(ctx, { dryRun: false });
    const begin = performance.now();
    await sync.run(ctx, { runId: id });
    const took = performance.now() - begin;
    const { state, counts } = await sync.get(ctx, id);
    if (state !== 'succeeded' || counts.people !== users) throw new Error(`the synchronisation ${state} with ${counts.people} people`);
    return took;
  };
  const search = async (): Promise<number> => {
    const begin = performance.now();
    const client = new Client({ url: settings.url });
    await client.bind(settings.bindDn, settings.bindPassword);
    let entries = 0;
    const attributes = ['entryUUID', 'objectGUID', 'uid', 'displayName', 'cn', 'mail', 'userAccountControl', 'accountExpires', 'shadowExpire', 'nsAccountLock'];
    for await (const page of client.searchPaginated(settings.searchBase, { scope: 'sub', filter: '(uid=*)', attributes, paged: { pageSize: 500 } })) entries += page.searchEntries.length;
    await client.unbind();
    if (entries !== users) throw new Error(`the search found ${entries} people`);
    return performance.now() - begin;
  };
  progress(`${users} people: first synchronisation`);
  const firstMs = await run();
  const arms = await interleave(rounds, { again: run, search, searchTwice: search });
  return { firstMs, againMs: arms['again']!, searchMs: arms['search']!, searchTwiceMs: arms['searchTwice']! };
}
