import 'reflect-metadata';
import { createInterface } from 'node:readline/promises';
import { NestFactory } from '@nestjs/core';
import type { INestApplicationContext } from '@nestjs/common';
import { Accounts } from '@gantry/access';
import { loadConfig, makeLogger, NestLogger, openQueue, printSchema, randomSecret, settingsReference, systemContext, type Config, type Db } from '@gantry/platform';
import { main as runGateway } from '../../api/src/gateway';
import { main as runApi } from '../../api/src/main';
import { openDatabase, RoomsModule } from '../../rooms';
import { readEnvironment } from '../../standalone/src/environment';
import { firstAdminPassword } from '../../standalone/src/keys';
import { main as runWorker } from '../../worker/src/main';
import * as audit from './audit';
import { main as checkHealth } from './health';

interface Command {
  help: string;
  /** Answers the exit code. */
  run: (args: string[]) => Promise<number>;
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Runs `work` with the database open (not migrated). */
async function withDatabase(work: (db: Db, config: Config) => Promise<number>): Promise<number> {
  const config = standaloneSettings();
  // Standard output is for what was asked for.
  const db = await openDatabase(config, makeLogger('warn', process.stderr));
  try {
    return await work(db, config);
  } finally {
    await db.close();
  }
}

/** Runs `work` with every room, without listeners or workers. */
async function withRooms(work: (app: INestApplicationContext) => Promise<number>): Promise<number> {
  return withDatabase(async (db, config) => {
    const logger = makeLogger('warn', process.stderr);
    const app = await NestFactory.createApplicationContext(RoomsModule.forRoot({ config, logger, db }), { logger: new NestLogger(logger), abortOnError: false });
    try {
      return await work(app);
    } finally {
      await app.close();
    }
  });
}

/** Settings of the environment; for a Gantry started by `npm start`, `$GANTRY_HOME/environment` completes them. */
function standaloneSettings(): Config {
  return loadConfig({ ...readEnvironment(process.env), ...process.env });
}

const commands: Record<string, Command> = {
  api: { help: 'run the API: REST, registry front, token service', run: async () => (await runApi(), 0) },
  gateway: { help: 'run the Docker engine gateway', run: async () => (await runGateway(), 0) },
  worker: { help: 'run a worker: deployments, schedules, sweeps', run: async () => (await runWorker(), 0) },
  migrate: {
    help: 'bring the database to this version; safe to run from several places at once',
    run: () =>
      withDatabase(async (db, config) => {
        const applied = await db.migrate();
        const queue = await openQueue({ databaseUrl: config.databaseUrl!.reveal(), redisUrl: config.redisUrl?.reveal() ?? null, logger: makeLogger('warn') });
        await queue.close();
        say(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`);
        if (config.adminPasswordFile !== null) say(await firstAdmin(db, config));
        return 0;
      }),
  },
  health: { help: 'say whether the role in this container works: `health api`, `health worker` or `health gateway`', run: checkHealth },
  'reset-admin': {
    help: 'let the recovery admin in again: a new password (asked for on a terminal, else generated and printed once), active, without second factor',
    run: () =>
      withRooms(async (app) => {
        const asked = process.stdin.isTTY ? await ask('New password for admin (empty: generate one): ') : '';
        const password = asked === '' ? randomSecret('', 18) : asked;
        await app.get(Accounts).recoverAdmin(systemContext('cli.reset-admin'), password);
        say(asked === '' ? `The admin's password is now: ${password}` : 'The admin has a new password; all its sessions have ended, its second factor is off.');
        return 0;
      }),
  },
  'audit verify': {
    help: 'check the audit chain; names the first broken row. --checkpoint saved.json: against a saved one. --file audit.jsonl [--key public.pem]: an export, offline',
    run: (args) => audit.verify(args, withRooms),
  },
  'audit checkpoint': { help: 'print the newest signed checkpoint with its public key, to keep elsewhere', run: (args) => audit.checkpoint(args, withRooms) },
  'audit export': { help: 'print the sealed audit record as JSON lines; filters: --actor --action --resource-kind --resource-id --resource-name --outcome --request-id --from --to', run: (args) => audit.exportLog(args, withRooms) },
  settings: { help: 'print the reference of all settings', run: async () => (say(settingsReference()), 0) },
  schema: { help: 'print the database schema', run: () => withDatabase(async (db) => (say(await printSchema(db)), 0)) },
};

async function firstAdmin(db: Db, config: Config): Promise<string> {
  const logger = makeLogger('warn');
  const app = await NestFactory.createApplicationContext(RoomsModule.forRoot({ config, logger, db }), { logger: new NestLogger(logger), abortOnError: false });
  try {
    const accounts = app.get(Accounts);
    const ctx = systemContext('cli.migrate');
    if (await accounts.find(ctx, 'admin')) return 'The recovery admin exists.';
    await accounts.ensureAdmin(ctx, firstAdminPassword(config.adminPasswordFile!));
    return `The recovery admin's password is in ${config.adminPasswordFile}.`;
  } finally {
    await app.close();
  }
}

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return (await terminal.question(question)).trim();
  } finally {
    terminal.close();
  }
}

function help(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length)) + 2;
  return ['Usage: gantry <command>', '', ...Object.entries(commands).map(([name, command]) => `  ${name.padEnd(width)}${command.help}`), '', 'Settings are environment variables; see docs/settings.md.'].join('\n');
}

/** The operator's command line. @returns the exit code: 0 done, 1 a finding or failure, 2 wrong usage */
export async function main(args: string[]): Promise<number> {
  const two = args.slice(0, 2).join(' ');
  const name = two in commands ? two : (args[0] ?? '');
  if (['', 'help', '--help', '-h'].includes(name)) {
    say(help());
    return name === '' ? 2 : 0;
  }
  const command = commands[name];
  if (!command) {
    process.stderr.write(`gantry: unknown command "${args.join(' ')}"\n\n${help()}\n`);
    return 2;
  }
  return command.run(args.slice(name.split(' ').length));
}
